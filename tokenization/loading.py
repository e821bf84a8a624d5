"""Saving, loading and checking a tokenizer folder, so that a wrong one is caught before any work starts."""

import hashlib
import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ..runtime.files import write_text_atomically

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"

MODEL_MAX_LENGTH = 8192
"""Longest input in tokens. Source: model card of the published model (positions)."""

MODEL_INPUT_NAMES = ["input_ids", "attention_mask"]

VOCABULARY_MULTIPLE = 64
"""Embedding rows may exceed the tokens by less than this. Source: paper-facts 3 (sizes are multiples of 64)."""

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


def _clean_backend_json(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Return the backend as JSON without the truncation and padding that an earlier call left in it."""
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    content["truncation"] = content["padding"] = None
    return content


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: str | Path) -> Path:
    """Write the three tokenizer files into `folder` and return it.

    The class is written as `PreTrainedTokenizerFast`, the one name that Transformers 4 and 5 both load; left to
    itself, Transformers 5 writes a name that 4.57 does not know.
    """
    target = Path(folder)
    special_tokens = {name: str(getattr(tokenizer, name)) for name in SPECIAL_TOKEN_NAMES}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **special_tokens,
        "model_max_length": tokenizer.model_max_length,
        "model_input_names": list(tokenizer.model_input_names),
        "padding_side": tokenizer.padding_side,
        "truncation_side": tokenizer.truncation_side,
        "clean_up_tokenization_spaces": False,
    }
    write_text_atomically(target / TOKENIZER_FILE, _to_json(_clean_backend_json(tokenizer)))
    write_text_atomically(target / CONFIG_FILE, _to_json(config))
    write_text_atomically(target / SPECIAL_TOKENS_FILE, _to_json(special_tokens))
    return target


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
        tokenizer = AutoTokenizer.from_pretrained(path)
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
    content = json.dumps(_clean_backend_json(tokenizer), ensure_ascii=False, sort_keys=True)
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
