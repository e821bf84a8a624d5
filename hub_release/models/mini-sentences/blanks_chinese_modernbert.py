# Copyright 2026 The Chinese ModernBERT contributors. SPDX-License-Identifier: Apache-2.0
"""Texts with blanks, and the words that fill them: what is given, what may be suggested, and how words are compared."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging

logger = logging.get_logger(__name__)

# What stands for a word. Source: our default.
BLANK = "{mask}"
# Where scripts begin that write no blanks between words. Source: the Unicode block of CJK radicals.
CJK_START = "\u2e80"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_UNUSED = re.compile(r"\[unused\d+\]|<extra_id_\d+>|<unused\d+>")
# Blanks that tokenizers of single characters, as BERT's, write between them.
_BLANK_BESIDE_CJK = re.compile(f"(?<=[{CJK_START}-\U0010ffff])\\s+|\\s+(?=[{CJK_START}-\U0010ffff])")
BROKEN = "\ufffd"


@dataclass(frozen=True)
class Word:
    """A word for one blank.

    Attributes:
        text: the word
        ids: its tokens
        logs: natural logarithm of each token's probability, see `WordFiller.fill`
        score: what words are ranked by, comparable across numbers of tokens
    """

    text: str
    ids: tuple[int, ...]
    logs: tuple[float, ...]
    score: float

    @property
    def probability(self) -> float:
        """Product of the probabilities of its tokens, given their number."""
        return math.exp(sum(self.logs))


@dataclass(frozen=True)
class Filling:
    """A text whose blanks are all filled.

    Attributes:
        text: the given text with a word in place of every blank
        words: in the order of the blanks
    """

    text: str
    words: tuple[Word, ...]

    @property
    def score(self) -> float:
        """Sum of the scores of its words."""
        return sum(word.score for word in self.words)


@dataclass(frozen=True)
class BlankText:
    """A text some of whose blanks are filled.

    Attributes:
        parts: given text around the blanks, one more than there are blanks
        part_ids: its tokens, cut to the model's context
        words: a word for each blank, None where it is still blank
        lengths: masks that stand for each blank while another one is filled
    """

    parts: tuple[str, ...]
    part_ids: tuple[tuple[int, ...], ...]
    words: tuple[Word | None, ...]
    lengths: tuple[int, ...]

    @property
    def score(self) -> float:
        """Sum of the scores of its words."""
        return sum(word.score for word in self.words if word is not None)

    def text(self, first: int = 0, last: int | None = None) -> str:
        """Return the text from one part to another, or all of it; what is still blank is left out."""
        last = len(self.words) if last is None else last
        pieces = [self.parts[first]]
        for place in range(first, last):
            word = self.words[place]
            pieces += ["" if word is None else word.text, self.parts[place + 1]]
        return "".join(pieces)

    def ids(self, first: int, last: int, mask: int) -> list[int]:
        """Return the tokens between two blanks, masks for what is still blank.

        Args:
            first: number of the part to begin with
            last: number of the part to end with
            mask: id of the mask
        """
        found = list(self.part_ids[first])
        for place in range(first, last):
            word = self.words[place]
            found += [mask] * self.lengths[place] if word is None else word.ids
            found += self.part_ids[place + 1]
        return found


class BlankReader:
    """Reads texts with blanks.

    Args:
        tokenizer: its special tokens are plain text in given text
        limit: tokens that the model reads, with the special ones
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, limit: int) -> None:
        self.tokenizer = tokenizer
        self._limit = limit

    def parts(self, text: str, blank: str, name: str) -> tuple[str, ...]:
        """Return the given text around the blanks.

        Raises:
            ValueError: With the name of the text, if it has no blank.
        """
        parts = tuple(text.split(blank)) if blank else (text,)
        if len(parts) < 2:
            mask = str(self.tokenizer.mask_token)
            hint = f"it holds {mask}, which is plain text here" if mask in text else "mark each word to find"
            raise ValueError(f"{name}, {_shown(text)}, has no blank {blank!r}; {hint}")
        return parts

    def begin(self, parts: tuple[str, ...], lengths: Sequence[tuple[int, int]], name: str) -> BlankText:
        """Return a text with all of its blanks, the tokens around them cut to the model's context.

        Args:
            parts: given text around the blanks
            lengths: fewest and most tokens of each blank
            name: what errors call the text

        Raises:
            ValueError: With the name of the text, for blanks further apart than the model reads.
        """
        ids = [tuple(self._encode(part, name)) for part in parts]
        room = self._limit - 2 - sum(longest for _, longest in lengths) - sum(map(len, ids[1:-1]))
        if room < 0:
            raise ValueError(
                f"{name}: its {len(lengths)} blanks lie too far apart for the {self._limit:,} tokens that the "
                "model reads; fill them in several calls"
            )
        before, after = len(ids[0]), len(ids[-1])
        if before + after > room:
            left = max(min(before, room // 2), room - after)
            ids[0], ids[-1] = ids[0][before - left :], ids[-1][: room - left]
            logger.warning(
                f"{name} is longer than the {self._limit:,} tokens that the model reads: of {before + after:,} "
                f"around its blanks it sees {left:,} before the first blank and {room - left:,} behind the last one"
            )
        return BlankText(parts, tuple(ids), (None,) * len(lengths), tuple(fewest for fewest, _ in lengths))

    def _encode(self, text: str, name: str) -> list[int]:
        """Return the tokens of given text, in which no special token is read."""
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(f"{name} holds half of a surrogate pair at {error.start}; take it out") from None
        return self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"] if text else []

    def given(
        self, counts: list[int], candidates: Sequence[str] | Sequence[Sequence[Sequence[str]]] | None
    ) -> list[list[dict[tuple[int, ...], str]]] | None:
        """Return the tokens of the only words, by text and blank.

        Args:
            counts: blanks of each text
            candidates: the words, for every blank or by text and blank; None: any word

        Raises:
            ValueError: For words without tokens or with one that stands for any unknown, two words of the same tokens,
                no words, or lists for other blanks.
        """
        if candidates is None:
            return None
        known: dict[str, tuple[int, ...]] = {}

        def encoded(words: Sequence[str]) -> dict[tuple[int, ...], str]:
            found: dict[tuple[int, ...], str] = {}
            for word in words:
                if word not in known:
                    known[word] = self._candidate(word)
                if (other := found.setdefault(known[word], word)) != word:
                    raise ValueError(f"the candidates {other!r} and {word!r} are the same tokens; give one of them")
            if not words:
                raise ValueError("there is no candidate for a blank; give one or more, or none for any word")
            return found

        if all(isinstance(one, str) for one in candidates):
            shared = encoded([str(one) for one in candidates])
            return [[shared] * count for count in counts]
        if [len(one) for one in candidates] != counts:
            raise ValueError(
                f"candidates hold lists for {[len(one) for one in candidates]} blanks, the texts have {counts}; give "
                "one list for all, or for each text a list for each blank"
            )
        return [[encoded(words) for words in one] for one in candidates]

    def _candidate(self, word: str) -> tuple[int, ...]:
        """Return the tokens of a word that may be chosen."""
        ids = tuple(self._encode(word, f"the candidate {word!r}"))
        if not ids:
            raise ValueError(f"the candidate {word!r} has no token; give words with a character at least")
        if self.tokenizer.unk_token_id in ids:
            raise ValueError(f"the candidate {word!r} has a character that the vocabulary lacks; leave it out")
        return ids


class WordTokens:
    """The tokens of a tokenizer that suggested words may consist of, and what text they are.

    Never suggested: special and unused tokens, white space, half a character of bytes, words that mix letters with
    punctuation, several tokens of punctuation, and Latin letters or digits that would go on with others beside it.

    Args:
        tokenizer: any tokenizer of Transformers
        vocabulary: numbers that the model gives a token, which may be more than the tokenizer has tokens

    Attributes:
        allowed: bool `(vocabulary,)`
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, vocabulary: int) -> None:
        self._tokenizer = tokenizer
        known = min(vocabulary, len(tokenizer))
        names = [str(name) for name in tokenizer.convert_ids_to_tokens(list(range(known)))]
        texts = tokenizer.batch_decode([[index] for index in range(known)])
        special = {*tokenizer.all_special_ids}
        special |= {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
        self.allowed = torch.zeros(vocabulary, dtype=torch.bool)
        self._continues: list[int | None] = []
        self._is_symbol: list[bool] = []
        for index, (name, text) in enumerate(zip(names, texts, strict=True)):
            byte = _BYTE.fullmatch(name)
            self._continues.append(_bytes_after(int(byte[1], 16)) if byte else 0)
            self._is_symbol.append(not byte and not any(map(str.isalnum, text)) and BROKEN not in text)
            is_word = name.startswith("##") or _is_word(text) or BROKEN in text
            is_blank = name[:1] in ("\u2581", "\u0120") or any(map(str.isspace, text))
            self.allowed[index] = is_word and not is_blank and index not in special and not _UNUSED.fullmatch(name)
            if byte and self._continues[-1] is None and not 0x80 <= int(byte[1], 16) < 0xC0:
                self.allowed[index] = False  # no byte of UTF-8
        self._names = names

    def may_follow(self, ids: tuple[int, ...], token: int, left: int) -> bool:
        """Tell whether a token may come after others of a word: no symbol, and no character stays without its bytes.

        Args:
            ids: tokens of the word so far
            token: an allowed token
            left: tokens that come after this one
        """
        needed = self._needed(ids)
        continues = self._continues[token]
        if not ids and self._names[token].startswith("##"):
            return False
        if ids and (self._is_symbol[ids[0]] or self._is_symbol[token]):
            return False
        if continues is None:
            return needed > 0 and needed - 1 <= left
        return needed == 0 and continues <= left

    def _needed(self, ids: tuple[int, ...]) -> int:
        """Return how many bytes the last character of a word still lacks."""
        needed = 0
        for token in ids:
            continues = self._continues[token]
            needed = needed - 1 if continues is None else continues
        return needed

    def word(self, ids: Sequence[int], before: str = "", after: str = "") -> str | None:
        """Return the text of tokens, None where it is no word for a blank.

        Args:
            ids: the tokens
            before: text up to the blank
            after: text behind it
        """
        text = _BLANK_BESIDE_CJK.sub("", str(self._tokenizer.decode(list(ids))))
        if not _is_word(text) or BROKEN in text or (not text[0].isalnum() and len(ids) > 1 and len(text) > 1):
            return None
        goes_on = _joins(before[-1:], text[0]) or _joins(text[-1], after[:1])
        return None if goes_on else text


def score_of(logs: Sequence[float]) -> float:
    """Return the score of a word, the sum of the logarithms of its tokens' probabilities by the root of their number.

    The sum alone prefers short words, since every token more is a factor below 1; the mean gives up words of one token.
    Source: our measurement, `benchmarks/fill_words.py`; for whole texts: ZhoBLiMP (arXiv 2411.06096).
    """
    return sum(logs) / len(logs) ** 0.5


def finished(states: Sequence[BlankText]) -> list[Filling]:
    """Return the fillings of one text, the best first, each text once."""
    best: dict[str, Filling] = {}
    for state in states:
        words = tuple(word for word in state.words if word is not None)
        filling = Filling(state.text(), words)
        if len(words) == len(state.words) and filling.score > best.get(filling.text, filling).score - 1e-12:
            best[filling.text] = filling
    return sorted(best.values(), key=lambda one: -one.score)


def drawn(found: Sequence[Filling], seed: int) -> list[Filling]:
    """Return fillings in an order drawn by their probabilities, without putting one back.

    Source: the largest of scores with Gumbel noise, Kool et al., Stochastic Beams (arXiv 1903.06059).
    """
    generator = torch.Generator().manual_seed(seed % 2**63)
    noise = -(-torch.rand(len(found), dtype=torch.float64, generator=generator).clamp(1e-12).log()).log()
    order = sorted(range(len(found)), key=lambda one: -(found[one].score + float(noise[one])))
    return [found[one] for one in order]


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


def _bytes_after(byte: int) -> int | None:
    """Return how many bytes follow one that begins a character of UTF-8; None for one that begins none."""
    if byte < 0x80:
        return 0
    for first, last, count in ((0xC2, 0xDF, 1), (0xE0, 0xEF, 2), (0xF0, 0xF4, 3)):
        if first <= byte <= last:
            return count
    return None


def _is_word(text: str) -> bool:
    """Tell whether a text is letters and digits alone, or none of them, without white space and control characters."""
    if not text or not all(one.isprintable() and not one.isspace() for one in text):
        return False
    return len({one.isalnum() for one in text}) == 1


def _joins(left: str, right: str) -> bool:
    """Tell whether two characters belong to one word of a script that writes blanks between words."""
    return bool(left and right) and all(one.isalnum() and one < CJK_START for one in (left, right))
