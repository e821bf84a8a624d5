"""Entities of Chinese text: from tagged characters or spans to tags of tokens, and from tags back to exact spans.

    tagging = EntityTagging(tokenizer, ["person", "place"])
    text, spans = spans_of_tags(["他", "在", "北", "京"], ["O", "O", "B-place", "I-place"])
    row = tagging.encode(text, spans)  # input_ids, attention_mask, labels
    found = tagging.spans(row["offset_mapping"], predicted)  # exact spans of the text

An entity begins and ends between any two characters. A token of several Han characters does not, so its tag cannot say
where, and even perfect tags lose entities. `split_han` therefore makes every Han character a token. It is a stock
component of the tokenizer's file: saved with the model, it gives a pipeline of Transformers the same tokens.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tokenizers import Regex, pre_tokenizers

from ..runtime.token_rows import IGNORED_LABEL
from .pre_tokenization import LATIN

if TYPE_CHECKING:  # the keys of a task of one's own need this module, and so does their help
    from transformers import PreTrainedTokenizerFast

_TAG = re.compile(r"O|([BIMES])-(.+)")
_LATIN_OR_DIGIT = re.compile(f"[{LATIN}0-9０-９Ａ-Ｚａ-ｚ]")

Offsets = Sequence[Sequence[int]]


class Span(NamedTuple):
    """A stretch of a text in characters.

    Attributes:
        start: first character
        end: one past the last
        label: type of an entity; empty for a span without one
    """

    start: int
    end: int
    label: str = ""


def join_tokens(tokens: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """Return the text of tokens and the place of each.

    A blank parts two tokens of several characters that would become one Latin word or number. Lists of single
    characters are joined as they are: they are the characters of the text.
    """
    text, places = "", []
    for i, token in enumerate(tokens):
        if i and len(token) > 1 and len(tokens[i - 1]) > 1:
            text += " " * bool(_LATIN_OR_DIGIT.match(text[-1]) and _LATIN_OR_DIGIT.match(token))
        places.append((len(text), len(text) + len(token)))
        text += token
    return text, places


def tag_parts(tag: object) -> tuple[str, str]:
    """Return the letter and the type of a BIO, BMES or BIOES tag; of "O" the type is empty.

    Raises:
        ValueError: If it is no tag, such as a number.
    """
    found = _TAG.fullmatch(str(tag))
    if found is None:
        raise ValueError(f"tag {tag!r} is not O or a type after B-, I-, M-, E- or S-; write the tags so")
    return found[1] or "O", found[2] or ""


def spans_of_tags(tokens: Sequence[str], tags: Sequence[object]) -> tuple[str, list[Span]]:
    """Return the text of tagged tokens and its entities.

    Args:
        tokens: characters or words
        tags: BIO, BMES or BIOES, one for each token: M and E continue as I does, S is an entity of one token, and an I
            with nothing to continue begins an entity

    Raises:
        ValueError: If there are not as many tags as tokens, or a tag is of another form.
    """
    if len(tags) != len(tokens):
        raise ValueError(f"{len(tokens)} tokens but {len(tags)} labels")
    text, places = join_tokens(tokens)
    return text, _spans([tag_parts(tag) for tag in tags], places)


def _spans(tags: Sequence[tuple[str, str]], places: Offsets) -> list[Span]:
    """Read entities off the tags of places; a place without characters goes on, and never is an end."""
    spans: list[Span] = []
    open_type = ""  # of an entity that may go on
    for (prefix, kind), (start, end) in zip(tags, places, strict=True):
        if kind and (prefix in "BS" or kind != open_type):
            spans.append(Span(start, end, kind))
        elif kind and end > start:
            spans[-1] = Span(spans[-1].start, end, kind)
        open_type = kind if prefix in "BIM" else ""
    return [span for span in spans if span.end > span.start]


def split_han(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Return a tokenizer with the same vocabulary that makes every Han character a token; it is unchanged if it does.

    Words of other scripts, numbers and special tokens stay as they are, and so do all ids.
    """
    backend = tokenizer.backend_tokenizer
    sample = "中国人民"
    known = backend.normalizer.normalize_str(sample) if backend.normalizer else sample
    before = backend.pre_tokenizer
    if before is not None and len(before.pre_tokenize_str(known)) >= len(sample):
        return tokenizer
    split = copy.deepcopy(tokenizer)
    characters = pre_tokenizers.Split(Regex(r"\p{Han}"), "isolated")
    # First: what comes later may spell characters as bytes.
    split.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([characters, *([before] if before else [])])
    return split


class EntityTagging:
    """Entities as BIO tags of tokens: O, then B and I of each type.

    A token has the tag of the entity that holds half of it or more, and a blank inside an entity belongs to it.

    Args:
        tokenizer: any fast tokenizer; `tokenizer` of the result, which is `split_han` of it, belongs to the model
        kinds: types of entities
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, kinds: Sequence[str]) -> None:
        self.tokenizer = split_han(tokenizer)
        self.kinds = list(kinds)
        self.tags = ["O", *(f"{prefix}-{kind}" for kind in kinds for prefix in "BI")]

    @property
    def id2label(self) -> dict[int, str]:
        """The tags by number, for a model's configuration."""
        return dict(enumerate(self.tags))

    @property
    def label2id(self) -> dict[str, int]:
        """The numbers by tag, for a model's configuration."""
        return {tag: number for number, tag in enumerate(self.tags)}

    def encode(self, text: str, entities: Sequence[Span] | None = None, **options: Any) -> dict[str, list[Any]]:
        """Return a row for training: what the tokenizer gives, `offset_mapping`, and `labels` where there are entities.

        Args:
            text: the text
            entities: its entities, which do not overlap; None: unknown
            options: passed to the tokenizer, such as `truncation` and `max_length`
        """
        row = dict(self.tokenizer(text, return_offsets_mapping=True, **options))
        return row if entities is None else {**row, "labels": self.labels(row["offset_mapping"], entities)}

    def labels(self, offsets: Offsets, entities: Sequence[Span]) -> list[int]:
        """Return the number of each token's tag, -100 for special tokens.

        Raises:
            ValueError: If an entity's type is unknown.
        """
        if unknown := [span.label for span in entities if span.label not in self.kinds]:
            raise ValueError(f"entity type {unknown[0]!r} is not one of {', '.join(self.kinds)}")
        labels, begun = [], set()
        for start, end in offsets:
            if end == 0:
                labels.append(IGNORED_LABEL)
                continue
            first = min(start, end - 1)  # a blank that the offsets leave out is the character before
            owner = max(entities, key=lambda span: min(end, span.end) - max(first, span.start), default=None)
            if owner is None or 2 * (min(end, owner.end) - max(first, owner.start)) < end - first:
                labels.append(0)
                continue
            labels.append(1 + 2 * self.kinds.index(owner.label) + (owner in begun))
            begun.add(owner)
        return labels

    def spans(self, offsets: Offsets, labels: Sequence[int]) -> list[Span]:
        """Return the entities that the tags of tokens stand for.

        Args:
            offsets: the tokens' first characters and ends; (0, 0) for special tokens, which are left out
            labels: numbers of their tags; of a character that is spelled in bytes the first byte's counts
        """
        tags, places = [], []
        for (start, end), label in zip(offsets, labels, strict=True):
            if end > 0 and (start, end) not in places[-1:]:
                tags.append(tag_parts(self.tags[label]))
                places.append((start, end))
        return _spans(tags, places)
