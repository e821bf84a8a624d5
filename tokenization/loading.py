"""Saving, loading and checking a tokenizer folder, so that a wrong one is caught before any work starts."""

import hashlib
import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from ..runtime.files import write_text_atomically

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"

MODEL_MAX_LENGTH = 8192
"""Longest input in tokens. Source: model card of the published model (positions)."""

MODEL_INPUT_NAMES = ["input_ids", "attention_mask"]

VOCABULARY_MULTIPLE = 64
"""Embedding rows may exceed the tokens by less than this. Source: paper-facts 3 (sizes are multiples of 64)."""

ADDITIONAL_TOKENS = "additional_special_tokens"
SPECIAL_TOKEN_NAMES = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")


def wrap_backend(backend: Tokenizer, model_max_length: int = MODEL_MAX_LENGTH) -> PreTrainedTokenizerFast:
    """Return the Transformers tokenizer around `backend`, with the five special tokens named."""
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=model_max_length,
        model_input_names=list(MODEL_INPUT_NAMES),
        clean_up_tokenization_spaces=False,
    )


def _clean_backend_json(backend: Tokenizer) -> dict[str, Any]:
    """Return the backend as JSON without the truncation and padding that an earlier call left in it."""
    content = json.loads(backend.to_str())
    content["truncation"] = content["padding"] = None
    return content


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: str | Path) -> Path:
    """Write a tokenizer into `folder`, without the truncation and padding that calls have left in it, and return it.

    The generic class is written as `PreTrainedTokenizerFast`, the one name that Transformers 4 and 5 both load; left to
    itself, Transformers 5 writes a name that 4.57 does not know. One of a class of its own, such as BERT's, writes its
    own files.
    """
    target = Path(folder)
    backend = tokenizer.backend_tokenizer if isinstance(tokenizer, PreTrainedTokenizerFast) else None
    if type(tokenizer) is PreTrainedTokenizerFast:
        special_tokens = _special_tokens(tokenizer)
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **special_tokens,
            "model_max_length": tokenizer.model_max_length,
            "model_input_names": list(tokenizer.model_input_names),
            "padding_side": tokenizer.padding_side,
            "truncation_side": tokenizer.truncation_side,
            "clean_up_tokenization_spaces": False,
        }
        write_text_atomically(target / CONFIG_FILE, _to_json(config))
        write_text_atomically(target / SPECIAL_TOKENS_FILE, _to_json(special_tokens))
    else:
        tokenizer.save_pretrained(target)
    if backend is not None:
        write_text_atomically(target / TOKENIZER_FILE, _to_json(_clean_backend_json(backend)))
    return target


def _special_tokens(tokenizer: PreTrainedTokenizerFast) -> dict[str, str | list[str]]:
    """Return the special tokens by their roles; those without a role stand in a list, which both versions read.

    A token that the backend marks as special counts, whichever way it was added: lost here, it would be an ordinary
    word after loading, which is masked and drawn as a replacement.
    """
    named = {name: str(token) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    order = (*SPECIAL_TOKEN_NAMES, *sorted(named.keys() - set(SPECIAL_TOKEN_NAMES)))
    roles: dict[str, str | list[str]] = {name: named[name] for name in order if name in named}
    marked = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    others = [token for token in dict.fromkeys((*tokenizer.all_special_tokens, *marked)) if token not in roles.values()]
    return {**roles, ADDITIONAL_TOKENS: others} if others else roles


def _to_json(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerFast:
    """Return the checked tokenizer of a folder.

    Raises:
        FileNotFoundError: If the folder or its `tokenizer.json` is not there.
        ValueError: If the files cannot be read as a tokenizer, a special token is missing or two share an id, or
            a text is not wrapped as `[CLS] x [SEP]`.
    """
    path = Path(folder)
    if not (path / TOKENIZER_FILE).is_file():
        raise FileNotFoundError(f"no {TOKENIZER_FILE} in {path}; give a tokenizer folder or train one first")
    try:
        # Said, since Transformers 5 asks otherwise about the code of the model that lies beside a tokenizer.
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except Exception as error:  # the Rust reader raises bare Exception
        raise ValueError(f"{path} cannot be read as a tokenizer: {str(error).splitlines()[0]}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ValueError(f"{path} loads as {type(tokenizer).__name__}; expected a fast tokenizer (tokenizer.json)")
    _check_special_tokens(tokenizer, path)
    return tokenizer


def _check_special_tokens(tokenizer: PreTrainedTokenizerFast, path: Path) -> None:
    missing = [name for name in SPECIAL_TOKEN_NAMES if getattr(tokenizer, name) is None]
    if missing:
        raise ValueError(f"the tokenizer in {path} has no {', '.join(missing)}; name them in {CONFIG_FILE}")
    ids = [getattr(tokenizer, f"{name}_id") for name in SPECIAL_TOKEN_NAMES]
    if len(set(ids)) != len(ids) or None in ids:
        raise ValueError(f"the special tokens of {path} need five different ids, got {ids}")
    wrapped = tokenizer("字")["input_ids"]
    if len(wrapped) < 3 or (wrapped[0], wrapped[-1]) != (tokenizer.cls_token_id, tokenizer.sep_token_id):
        raise ValueError(f"the tokenizer in {path} does not wrap a text as [CLS] x [SEP]: got ids {wrapped}")


def tokenizer_hash(tokenizer: PreTrainedTokenizerFast) -> str:
    """Return the SHA-256 of everything that decides the ids of a text, as 64 hexadecimal digits.

    Truncation and padding are left out, because they are settings of a call.
    """
    content = json.dumps(_clean_backend_json(tokenizer.backend_tokenizer), ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(content.encode("utf-8")).hexdigest()


def check_vocabulary(tokenizer: PreTrainedTokenizerFast, vocab_size: int) -> None:
    """Raise a ValueError unless a model of `vocab_size` embedding rows fits the tokenizer.

    Rows may exceed the tokens by less than 64, the multiple to which embeddings are padded.
    """
    n_tokens = len(tokenizer)
    if not n_tokens <= vocab_size < n_tokens + VOCABULARY_MULTIPLE:
        raise ValueError(
            f"the model has vocab_size={vocab_size} but the tokenizer has {n_tokens} tokens; use the model's own "
            f"tokenizer, or a model with {n_tokens} to {n_tokens + VOCABULARY_MULTIPLE - 1} rows"
        )
