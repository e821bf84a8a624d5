# Copyright 2026 The Chinese ModernBERT contributors. SPDX-License-Identifier: Apache-2.0
"""Text by single Chinese characters, each a token of its own at a known place, and long text by sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

# Ideographs; not signs such as 々 and 〇, which nobody mistakes for one. Source: Unicode, the blocks of CJK ideographs.
HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_PART = re.compile(f"[{HAN}]|[^{HAN}]+")
_HAN = re.compile(f"[{HAN}]")
_ENDS, _CLOSING = "。！？\n", "”’」』）"
_SENTENCE = re.compile(f"[^{_ENDS}]+[{_ENDS}]*[{_CLOSING}]*|[{_ENDS}]+[{_CLOSING}]*")
# Where a sentence that is too long is cut rather than within a clause. Our default.
_PAUSES = "，；：、,;: "
CACHED_PARTS = 16_384


@dataclass(frozen=True)
class CharacterText:
    """A text as tokens, without the special ones at its ends.

    Attributes:
        ids: ids of its tokens
        places: for each Chinese character that is one token: where that token stands among `ids`
        offsets: for each of these characters: where it stands in the text
        columns: for each of these characters: its number among `CharacterReader.characters`
    """

    ids: list[int]
    places: list[int]
    offsets: list[int]
    columns: list[int]


class CharacterReader:
    """Reads text so that every Chinese character is a token of its own; all between is cut as the tokenizer cuts it.

    A place follows from counting, never from a tokenizer's offsets, so that no normalization can move it. A character
    that the vocabulary has not is read as its bytes; it is context, and no place.

    Args:
        tokenizer: a fast tokenizer whose vocabulary holds single Chinese characters as they are written

    Raises:
        ValueError: If it holds none.
    """

    def __init__(self, tokenizer: Any) -> None:
        known = {token: number for token, number in tokenizer.get_vocab().items() if _HAN.fullmatch(token)}
        if not known:
            raise ValueError("the vocabulary holds no single Chinese character; use the tokenizer of the model")
        self.tokenizer = tokenizer
        ordered = dict(sorted(known.items(), key=lambda one: one[1]))
        self.characters = tuple(ordered)
        """Every character that can be written, in the order of `candidate_ids`."""
        self.candidate_ids = tuple(ordered.values())
        """Their ids, rising."""
        self.columns = {character: column for column, character in enumerate(self.characters)}
        self._ids = lru_cache(CACHED_PARTS)(self._ids_of)

    def read(self, text: str) -> CharacterText:
        """Return the tokens of a text and the places of its Chinese characters."""
        read = CharacterText([], [], [], [])
        for part in _PART.finditer(text):
            column = self.columns.get(part[0])
            if column is None:
                read.ids.extend(self._ids(part[0]))
            else:
                read.places.append(len(read.ids))
                read.offsets.append(part.start())
                read.columns.append(column)
                read.ids.append(self.candidate_ids[column])
        return read

    def _ids_of(self, part: str) -> tuple[int, ...]:
        """Return the ids of what is no single character; what reads like a special token is text as any other."""
        sound = part.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair is context at most
        return tuple(self.tokenizer(sound, add_special_tokens=False, split_special_tokens=True)["input_ids"])


def cut_sentences(text: str, longest: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of the sentences of a text, which touch each other and cover it.

    Args:
        text: of any length
        longest: characters of a sentence; a longer one is cut behind a comma of its last half, else anywhere
    """
    for match in _SENTENCE.finditer(text):
        start, end = match.span()
        while end - start > longest:
            half = start + longest // 2
            pause = max(text.rfind(sign, half, start + longest) for sign in _PAUSES)
            cut = start + longest if pause < 0 else pause + 1
            yield start, cut
            start = cut
        yield start, end
