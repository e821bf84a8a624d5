"""From text to token ids and one bit per token, "starts a masking unit", in one pass.

A word and a token that overlap belong to one unit and neither is ever split: the units are the connected components of
the overlaps. Since words and tokens both tile the text, a component begins exactly where a token and a word begin at
the same character, so one comparison per token decides it.
"""

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, processors
from transformers import PreTrainedTokenizerFast

from .normalization import check_encodable, fold_width
from .pre_tokenization import BYTE_TOKENS, LATIN
from .word_segmentation import WordSegmenter

_MARKS = "\u0300-\u036f"
"""Combining marks, such as the tones of pinyin that is not composed."""

UNIT_RUN = re.compile(
    rf"""
    (?:https?|ftp)://[!-~]*[0-9A-Za-z/]                                            # an address
    | www\.[!-~]*[0-9A-Za-z/]
    | [0-9A-Za-z][0-9A-Za-z._%+-]{{0,63}}@[0-9A-Za-z-]{{1,63}}(?:\.[0-9A-Za-z-]{{1,63}})+  # a mail address
    | [0-9]+(?:[.,][0-9]+)*[{LATIN}{_MARKS}0-9]*                                   # 1,024.5  4K  128GB
    | [{LATIN}][{LATIN}{_MARKS}0-9]*(?:['\u2019][{LATIN}][{LATIN}{_MARKS}]*)*      # word  don't  GPT4
    """,
    re.VERBOSE,
)
"""Runs that no segmenter can cut: addresses, numbers and Latin words. Source: our default."""


@dataclass(frozen=True, slots=True)
class EncodedDocument:
    """Token ids of one document and where its masking units start."""

    input_ids: NDArray[np.uint32]
    """Shape [n_tokens], without special tokens."""
    word_starts: NDArray[np.bool_]
    """Shape [n_tokens], True where a token starts a masking unit."""


class DocumentEncoder:
    """Encode many texts with one tokenizer and one segmenter.

    It works on a copy of the tokenizer's backend in which the text "[MASK]" is plain text and width folding is already
    done, so no text can produce a special token and the user's tokenizer keeps its own settings.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, segmenter: WordSegmenter) -> None:
        self._segmenter = segmenter
        self._is_ours = _is_tiling(tokenizer.backend_tokenizer)
        self._backend = _corpus_backend(tokenizer.backend_tokenizer, drop_normalizer=self._is_ours)
        self._characters = _characters_per_token(self._backend)

    def encode(self, texts: Sequence[str]) -> list[EncodedDocument]:
        """Return one encoded document per text; an empty text gives a document without tokens.

        Raises:
            ValueError: If a text holds a lone surrogate (with its number in the batch) or if the segmenter's words do
                not join to the text.
        """
        for number, text in enumerate(texts):
            check_encodable(text, f"text {number} of the batch")
        folded = [fold_width(text) for text in texts] if self._is_ours else list(texts)
        encodings = self._backend.encode_batch_fast(folded, add_special_tokens=False)
        rows = [encoding.ids for encoding in encodings]
        n_tokens = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        input_ids = np.fromiter(chain.from_iterable(rows), dtype=np.uint32, count=int(n_tokens.sum()))
        word_starts = self._word_starts(folded, input_ids, n_tokens)
        borders = np.concatenate(([0], np.cumsum(n_tokens))).tolist()
        return [EncodedDocument(input_ids[a:b], word_starts[a:b]) for a, b in pairwise(borders)]

    def spans(self, text: str) -> NDArray[np.int64]:
        """Return the character span of every token of `text`, shape [n_tokens, 2], in the order of `encode`."""
        folded = fold_width(text) if self._is_ours else text
        offsets = self._backend.encode(folded, add_special_tokens=False).offsets
        return np.array(offsets, dtype=np.int64).reshape(-1, 2)

    def _word_starts(
        self, texts: Sequence[str], input_ids: NDArray[np.uint32], n_tokens: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Return the starts of all texts, shape [sum of n_tokens], from one vector of borders for the whole batch."""
        counts = self._characters[input_ids]
        document = np.repeat(np.arange(len(texts)), n_tokens)
        n_characters = np.bincount(document, weights=counts, minlength=len(texts))
        if not self._is_ours or not np.array_equal(n_characters, [len(text) for text in texts]):
            starts = [word_starts_from_offsets(text, self.spans(text), self._segmenter) for text in texts]
            return np.concatenate([np.zeros(0, dtype=np.bool_), *starts])
        borders = word_borders(texts, self._segmenter)
        # Every text before this one takes one position more in `borders` than it has characters: its end.
        begins = np.cumsum(counts) - counts + document
        # A continuation byte covers no new character: it never starts a unit.
        return borders[begins] & (counts > 0)


def word_borders(texts: Sequence[str], segmenter: WordSegmenter) -> NDArray[np.bool_]:
    """Return, for every character position of every text, whether a word begins there.

    Args:
        texts: width-folded texts of n characters each
        segmenter: cuts the words, which may reach beyond an address, a number or a Latin word (`UNIT_RUN`), as 5G网络
            does, but never cut one

    Returns:
        Shape [sum of n + 1]: text after text, each followed by its end, which is True.

    Raises:
        ValueError: If the segmenter's words do not join to the text.
    """
    lengths: list[int] = []
    n_words = np.zeros(len(texts), dtype=np.int64)
    for number, text in enumerate(texts):
        words = segmenter.cut(text)
        n_words[number] = len(words) + 1
        lengths.extend(map(len, words))
        lengths.append(1)  # the end of the text
    begins = np.cumsum(np.array([0, *lengths], dtype=np.int64))
    _check_words(texts, segmenter, np.diff(begins[np.cumsum(np.append(0, n_words))]))
    borders = np.zeros(int(begins[-1]), dtype=np.bool_)
    borders[begins[:-1]] = True
    # No run holds a line feed, so none reaches into the next text.
    runs = np.array([match.span() for match in UNIT_RUN.finditer("\n".join(texts))], dtype=np.int64).reshape(-1, 2)
    change = np.zeros(len(borders), dtype=np.int8)
    change[runs[:, 0] + 1] += 1
    change[runs[:, 1]] -= 1
    borders[np.cumsum(change, dtype=np.int8) > 0] = False
    return borders


def word_starts_from_offsets(
    text: str, offsets: Sequence[tuple[int, int]] | np.ndarray, segmenter: WordSegmenter
) -> NDArray[np.bool_]:
    """Say for each token of any fast tokenizer, also one that drops or rewrites characters, whether it starts a unit.

    A token that crosses a word border joins both words, so that neither a token nor a word is ever split.

    Args:
        text: the text that was tokenized, width-folded where the tokenizer folds it
        offsets: (start, end) of each token in characters, with or without its blanks; (0, 0) at special tokens
        segmenter: cuts `text` into words

    Returns:
        Shape [n_tokens]. What it says of special tokens is to be ignored: each is a unit of its own and ends the one
        before, as `word_ids_from_starts` has it.
    """
    spans = np.asarray(offsets, dtype=np.int64).reshape(-1, 2)
    words = np.cumsum(word_borders([text], segmenter)[: max(len(text), 1)])
    # A token of blanks whose offsets leave them out is an empty span behind them.
    begins = spans[:, 0] - ((spans[:, 0] == spans[:, 1]) & (spans[:, 0] > 0))
    ends = np.maximum(spans[:, 1] - 1, begins)
    first, last = (words[place.clip(max=len(words) - 1)] for place in (begins, ends))
    starts = np.ones(len(spans), dtype=np.bool_)
    starts[1:] = first[1:] > np.maximum.accumulate(last)[:-1]
    return starts


def _check_words(texts: Sequence[str], segmenter: WordSegmenter, n_characters: NDArray[np.int64]) -> None:
    """Raise a ValueError for the first text whose words do not have as many characters as the text."""
    expected = np.array([len(text) + 1 for text in texts], dtype=np.int64)
    for number in np.flatnonzero(n_characters != expected)[:1]:
        raise ValueError(
            f"the words of {type(segmenter).__name__} have {n_characters[number] - 1} characters, the text "
            f"{expected[number] - 1}; a segmenter must return every character, white space included"
        )


def _is_tiling(backend: Tokenizer) -> bool:
    """Return whether the tokens of a text join to its folded form: our normalizer, and BPE with byte fallback."""
    normalizer, model = backend.normalizer, backend.model
    if not isinstance(normalizer, normalizers.Sequence) or not isinstance(model, models.BPE):
        return False
    if not model.byte_fallback or model.continuing_subword_prefix or model.end_of_word_suffix:
        return False
    every_other = "\u3000" + "".join(chr(code) for code in range(0xFF01, 0xFF5F)) + "Ａ\u0301é½ﬁ ㈱"
    return normalizer.normalize_str(every_other) == fold_width(every_other)


def _corpus_backend(backend: Tokenizer, drop_normalizer: bool) -> Tokenizer:
    corpus_backend = copy.deepcopy(backend)
    corpus_backend.no_truncation()
    corpus_backend.no_padding()
    corpus_backend.encode_special_tokens = True
    # A post-processor adds special tokens and cuts blanks off offsets; words and tokens are compared with their blanks.
    corpus_backend.post_processor = processors.Sequence([])
    if drop_normalizer:
        corpus_backend.normalizer = normalizers.Sequence([])
    return corpus_backend


def _characters_per_token(backend: Tokenizer) -> NDArray[np.int64]:
    """Return, for every id, the number of characters it covers; of the bytes of one character only the lead counts."""
    vocabulary = backend.get_vocab(with_added_tokens=True)
    counts = np.zeros(max(vocabulary.values()) + 1, dtype=np.int64)
    for token, index in vocabulary.items():
        counts[index] = len(token)
    for byte, token in enumerate(BYTE_TOKENS):
        if token in vocabulary:
            counts[vocabulary[token]] = 0 if 0x80 <= byte < 0xC0 else 1
    return counts


_encoders: "WeakKeyDictionary[PreTrainedTokenizerFast, tuple[int, WordSegmenter, DocumentEncoder]]" = (
    WeakKeyDictionary()
)


def encode_documents(
    tokenizer: PreTrainedTokenizerFast, segmenter: WordSegmenter, texts: Sequence[str]
) -> list[EncodedDocument]:
    """Return ids and word starts of every text; special tokens are never produced from text.

    The prepared encoder is kept with the tokenizer, so calling this batch after batch costs no set-up.

    Raises:
        ValueError: See `DocumentEncoder.encode`.
    """
    known = _encoders.get(tokenizer)
    if known is None or known[0] != len(tokenizer) or known[1] is not segmenter:
        known = (len(tokenizer), segmenter, DocumentEncoder(tokenizer, segmenter))
        _encoders[tokenizer] = known
    return known[2].encode(texts)


def word_ids_from_starts(word_starts: np.ndarray, document_ids: np.ndarray, special: np.ndarray) -> np.ndarray:
    """Turn "starts a word" bits into word ids.

    A word also ends where the document changes and at every special token, so that no word crosses either.

    Args:
        word_starts: bool `[..., L]`, True at the first token of each word
        document_ids: integer `[..., L]`, -1 = padding
        special: bool `[..., L]`, True at tokens that are never masked

    Returns:
        int32 `[..., L]`: equal neighbours are one word, -1 at special tokens and padding.
    """
    excluded = special | (document_ids < 0)
    begins = word_starts.astype(bool) | excluded
    begins[..., 1:] |= (document_ids[..., 1:] != document_ids[..., :-1]) | excluded[..., :-1]
    word_ids = np.cumsum(begins, axis=-1, dtype=np.int32)
    word_ids[excluded] = -1
    return word_ids
