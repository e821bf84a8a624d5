"""What a sparse encoder takes a text for: its terms by weight, as a reader sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedTokenizerBase

from .searcher import checked_texts

if TYPE_CHECKING:
    from sentence_transformers import SparseEncoder

# What decoders write for bytes that are no whole character.
BROKEN = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Term:
    """One token that a sparse vector has a weight for.

    Attributes:
        term: its text; of bytes that are no whole character what the vocabulary calls them
        weight: larger than 0
        in_text: it is a token of the text; the others are expansion
    """

    term: str
    weight: float
    in_text: bool


@dataclass(frozen=True)
class ExplainedText:
    """A text and its terms.

    Attributes:
        text: as it was given
        terms: the heaviest, heaviest first
        active: number of terms that have a weight
    """

    text: str
    terms: list[Term]
    active: int


def explain(
    model: SparseEncoder, texts: Sequence[str], top: int | None = 20, is_query: bool = False
) -> list[ExplainedText]:
    """Return the terms of each text.

    Args:
        model: any sparse encoder over the tokens of its tokenizer
        texts: to encode
        top: most terms of a text; None = all
        is_query: encode them as queries, not as documents

    Raises:
        ValueError: If a text is empty or there is one in the place of several, or `top` below 1.
    """
    if top is not None and top < 1:
        raise ValueError(f"top={top} shows no term; give 1 or more, or None for all")
    for number, text in enumerate(checked_texts(texts, "texts"), start=1):
        if not text.strip():
            raise ValueError(f"text {number} is empty; give one that has words")
    encode: Any = model.encode_query if is_query else model.encode_document
    vectors = encode(list(texts), save_to_cpu=True, show_progress_bar=False)
    tokenizer = tokenizers_of(model)[0]  # the sides have one vocabulary
    prompt = (model.prompts or {}).get("query" if is_query else "document") or ""
    return [_explained(tokenizer, text, vector, top, prompt) for text, vector in zip(texts, vectors, strict=True)]


def _explained(
    tokenizer: PreTrainedTokenizerBase, text: str, vector: Any, top: int | None, prompt: str
) -> ExplainedText:
    dense = vector.to_dense() if vector.is_sparse else vector
    own: Any = tokenizer(prompt + text, add_special_tokens=True)["input_ids"]
    weights, numbers = dense.sort(descending=True, stable=True)
    active = int((weights > 0).sum())
    shown = active if top is None else min(top, active)
    terms = [
        Term(term_text(tokenizer, number), weight, number in own)
        for number, weight in zip(numbers[:shown].tolist(), weights[:shown].tolist(), strict=True)
    ]
    return ExplainedText(text, terms, active)


def term_text(tokenizer: PreTrainedTokenizerBase, number: int) -> str:
    """Return a token as a reader sees it: decoded, or as the vocabulary has it where that shows nothing."""
    text = str(tokenizer.decode([number], clean_up_tokenization_spaces=False)).strip()
    if text and text.isprintable() and BROKEN not in text:
        return text
    named: Any = tokenizer.convert_ids_to_tokens(number)
    return named


def is_searched(tokenizer: PreTrainedTokenizerBase, number: int) -> bool:
    """Return whether somebody may search for a token: it holds a letter, a character or a digit, and is not special."""
    if number >= len(tokenizer) or number in tokenizer.all_special_ids:
        return False
    text = str(tokenizer.decode([number]))
    return BROKEN not in text and any(letter.isalnum() for letter in text)


def tokenizers_of(model: Any) -> list[PreTrainedTokenizerBase]:
    """Return the tokenizers inside a model of sentence-transformers: a router has one for each side."""
    found = [getattr(module, "tokenizer", None) for module in model.modules()]
    return list({id(one): one for one in found if isinstance(one, PreTrainedTokenizerBase)}.values())
