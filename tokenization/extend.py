"""Adding tokens for a domain or a script to a tokenizer; their embedding rows start from the mean of their pieces.

    tokenizer = load_tokenizer(folder)
    added = add_tokens(tokenizer, ["心肌梗死", "嚟", "冇"])
    start_embeddings(model, added)

A new row that starts as the mean of the rows it replaces gives the model nearly the input it had before, so continued
pre-training improves from the first step instead of first unlearning noise.
"""

import logging
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import PreTrainedTokenizerFast

from ..runtime.files import new_output_folder
from .arguments import ExtensionArguments
from .documents import read_word_list
from .loading import TOKENIZER_FILE, VOCABULARY_MULTIPLE, load_tokenizer, save_tokenizer, tokenizer_hash
from .normalization import check_encodable, fold_width
from .pre_tokenization import BYTE_TOKENS

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)


def run_extension(arguments: ExtensionArguments) -> Path:
    """Write a tokenizer with more tokens; the old ones keep their ids.

    Raises:
        FileExistsError: If the folder is not empty and `overwrite` is off.
        FileNotFoundError: If the tokenizer or the file is missing.
        ValueError: If a token cannot be added, or none is new.
    """
    tokenizer = load_tokenizer(arguments.tokenizer)
    added = add_tokens(tokenizer, read_word_list(arguments.tokens))
    if not added:
        raise ValueError(f"{arguments.tokens} holds no token that {arguments.tokenizer} lacks")
    with new_output_folder(arguments.output_dir, arguments.overwrite, marker=TOKENIZER_FILE) as folder:
        save_tokenizer(tokenizer, folder)
    logger.info("%d tokens added, %d in all", len(added), len(tokenizer))
    return Path(arguments.output_dir)


def add_tokens(tokenizer: PreTrainedTokenizerFast, tokens: Sequence[str]) -> dict[int, list[int]]:
    """Add `tokens` to `tokenizer` in place and return, for each new id, the ids that spelled it before.

    An added token is found wherever it stands in a text, before words are cut. That suits Chinese, but a token that
    begins or ends with a Latin letter or a digit is also found inside longer words: with ALT, SALTY becomes S, ALT, Y.
    The log warns of such tokens.

    Args:
        tokenizer: changed in place; save it with `save_tokenizer`
        tokens: words, width-folded before they are added. Those that the tokenizer already has are left out
            and their number is logged.

    Raises:
        ValueError: If a token is empty, begins or ends with white space, occurs twice, or looks like a special or byte
            token.
    """
    folded = [fold_width(token) for token in tokens]
    _check_tokens(tokenizer, folded)
    pieces = {token: tokenizer(token, add_special_tokens=False)["input_ids"] for token in folded}
    new = [token for token in folded if len(pieces[token]) > 1]
    if len(new) < len(folded):
        logger.warning("%d of %d new tokens are in the vocabulary already", len(folded) - len(new), len(folded))
    if inside := [token for token in new if _is_part_of_words(token[0]) or _is_part_of_words(token[-1])]:
        logger.warning("%d new tokens are also found inside longer words, such as %r", len(inside), inside[0])
    tokenizer.add_tokens(new)
    vocabulary = tokenizer.get_vocab()
    return {vocabulary[token]: pieces[token] for token in new}


def _is_part_of_words(character: str) -> bool:
    """Return whether a character is a Latin letter or a digit: nothing marks a border between two of them."""
    return character.isdecimal() or unicodedata.name(character, "").startswith("LATIN ")


def _check_tokens(tokenizer: PreTrainedTokenizerFast, tokens: Sequence[str]) -> None:
    seen: set[str] = set()
    for token in tokens:
        check_encodable(token, f"the token {token!a}")
        if not token or token != token.strip():
            raise ValueError(f"the token {token!r} is empty or has white space at an end; give plain words")
        if token in tokenizer.all_special_tokens or token in BYTE_TOKENS or (token[0] == "[" and token[-1] == "]"):
            raise ValueError(f"the token {token!r} looks like a special token; give plain words")
        if token in seen:
            raise ValueError(f"the token {token!r} occurs twice (after width folding); give each word once")
        seen.add(token)


def start_embeddings(model: "PreTrainedModel", added: Mapping[int, Sequence[int]]) -> None:
    """Make room in `model` for the added ids and set each new row to the mean of its pieces' rows.

    The number of rows becomes a multiple of 64. Input and, where not tied, output rows are set, and the output bias.

    Args:
        model: any model with `resize_token_embeddings`, changed in place
        added: new id to the ids of its pieces, from `add_tokens`

    Raises:
        ValueError: If a piece has no row in the model, so that model and tokenizer do not belong together.
    """
    import torch

    if not added:
        return
    n_rows = getattr(model.get_input_embeddings(), "weight").shape[0]  # noqa: B009
    highest = max(index for pieces in added.values() for index in pieces)
    if highest >= n_rows:
        raise ValueError(f"the model has {n_rows} rows, the tokenizer id {highest}: they do not belong together")
    if max(added) >= n_rows:
        model.resize_token_embeddings(max(added) + 1, pad_to_multiple_of=VOCABULARY_MULTIPLE, mean_resizing=False)
    with torch.no_grad():
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
            for parameter in (getattr(layer, "weight", None), getattr(layer, "bias", None)):
                _set_to_means(parameter, added)


def _set_to_means(parameter: "torch.Tensor | None", added: Mapping[int, Sequence[int]]) -> None:
    """Set row `index` of `parameter` to the mean of its pieces' rows, for every added id."""
    if parameter is not None:
        for index, pieces in added.items():
            parameter[index] = parameter[list(pieces)].mean(dim=0)


logger = logging.getLogger(__name__)

SHOWN = 3


def new_tokens(checkpoint: str | Path, tokenizer: PreTrainedTokenizerFast) -> dict[int, list[int]]:
    """Return, for each token that `tokenizer` has and the checkpoint's own tokenizer lacks, the ids that spelled it.

    Args:
        checkpoint: folder of a model, with its tokenizer
        tokenizer: the run's tokenizer

    Returns:
        New id -> ids of its pieces, for `start_embeddings`; empty where the two are the same, or where the folder has
        no tokenizer to compare with.

    Raises:
        ValueError: If a token has another id in the run's tokenizer, or is missing there.
    """
    if not (Path(checkpoint) / TOKENIZER_FILE).is_file():
        logger.warning("%s has no tokenizer, so it cannot be compared with the run's", checkpoint)
        return {}
    own = load_tokenizer(checkpoint)
    if tokenizer_hash(own) == tokenizer_hash(tokenizer):
        return {}
    before, after = own.get_vocab(), tokenizer.get_vocab()
    moved = sorted((token for token, number in before.items() if after.get(token) != number), key=before.__getitem__)
    if moved or len(after) == len(before):
        what = f"{len(moved)} tokens have other ids, first {', '.join(map(repr, moved[:SHOWN]))}"
        raise ValueError(
            f"the tokenizer is not that of {checkpoint} with tokens added "
            f"({what if moved else 'its tokens are the same, its rules are not'}); extend the checkpoint's own with "
            "chinese-modernbert tokenizer extend"
        )
    added = {number: token for token, number in after.items() if token not in before}
    logger.info("%d new tokens; their rows start as the mean of their pieces", len(added))
    return {number: own(added[number], add_special_tokens=False)["input_ids"] for number in sorted(added)}
