"""What stands at masked places, and the lexicon of similar words."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chinese_modernbert.trainers.masking import (
    ColumnUnits,
    Masker,
    MaskVocabulary,
    NGramUnits,
    PackedBatch,
    Replace,
    SimilarWords,
)

SPECIAL = (0, 1, 2, 100, 101)
VOCABULARY = MaskVocabulary(size=300, mask_token_id=101, special_ids=SPECIAL)


def batch_of_words(words: int = 4000, tokens: int = 3, token: int = 50) -> PackedBatch:
    word_ids = np.repeat(np.arange(words), tokens)[None]
    return PackedBatch(input_ids=np.full_like(word_ids, token), word_ids=word_ids)


def mask_everything(corruption: Replace, batch: PackedBatch, ngrams: bool = False) -> np.ndarray:
    units = NGramUnits(ColumnUnits()) if ngrams else ColumnUnits()
    return Masker(units, 1.0, corruption)(batch, 0.0)["input_ids"]


@pytest.mark.parametrize("per", ["unit", "token"])
def test_shares_are_kept(per: Any) -> None:
    ids = mask_everything(Replace(VOCABULARY, 0.5, 0.3, 0.2, per=per), batch_of_words(20_000))
    shares = [(ids == 101).mean(), ((ids != 101) & (ids != 50)).mean(), (ids == 50).mean()]
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=0.012)


def test_one_decision_holds_for_the_whole_unit_or_for_each_token() -> None:
    masked = mask_everything(Replace(VOCABULARY, 0.5, 0.0, 0.5, per="unit"), batch_of_words()) == 101
    assert set(masked.reshape(-1, 3).sum(axis=1)) == {0, 3}
    masked = mask_everything(Replace(VOCABULARY, 0.5, 0.0, 0.5, per="token"), batch_of_words()) == 101
    assert set(masked.reshape(-1, 3).sum(axis=1)) == {0, 1, 2, 3}


def test_random_tokens_are_uniform_and_never_special() -> None:
    ids = mask_everything(Replace(VOCABULARY, 0.0, 1.0, 0.0), batch_of_words(40_000))
    counts = np.bincount(ids.ravel(), minlength=300)
    assert not counts[list(SPECIAL)].any()
    ordinary = np.delete(counts, SPECIAL)
    expected = ids.size / 295
    assert ((ordinary - expected) ** 2 / expected).sum() < 376  # 294 degrees of freedom, p = 0.001


def test_all_mask_leaves_no_selected_token_visible() -> None:
    assert (mask_everything(Replace(VOCABULARY, 1.0, 0.0, 0.0), batch_of_words()) == 101).all()


LEXICON = SimilarWords.build({(50, 50, 50): [(60, 61, 62), (70, 71, 72)], (9,): [(8,)]})
MAC = Replace(VOCABULARY, mask=0.0, random=0.1, keep=0.1, similar=0.8, lexicon=LEXICON)


def test_similar_words_come_from_the_lexicon_and_no_mask_token_appears() -> None:
    words = mask_everything(MAC, batch_of_words(20_000)).reshape(-1, 3)
    assert not (words == 101).any()
    first, second = ((words == other).all(axis=1).mean() for other in ([60, 61, 62], [70, 71, 72]))
    np.testing.assert_allclose([first, second], 0.4, atol=0.012)
    assert abs((words == 50).all(axis=1).mean() - 0.1) < 0.01


def test_similar_words_are_looked_up_word_by_word_inside_ngrams() -> None:
    words = mask_everything(MAC, batch_of_words(20_000), ngrams=True).reshape(-1, 3)
    known = (words == [60, 61, 62]).all(axis=1) | (words == [70, 71, 72]).all(axis=1)
    assert abs(known.mean() - 0.8) < 0.012


def test_a_word_without_similar_words_becomes_random() -> None:
    words = mask_everything(MAC, batch_of_words(20_000, token=51)).reshape(-1, 3)
    assert abs((words == 51).all(axis=1).mean() - 0.1) < 0.01
    assert len(np.unique(words)) > 250


@given(st.dictionaries(st.lists(st.integers(5, 99), min_size=1, max_size=4).map(tuple), st.integers(1, 3), min_size=1))
def test_every_word_of_the_lexicon_is_found_and_no_other(sizes: dict[tuple[int, ...], int]) -> None:
    entries = {word: [[200 + k] * len(word) for k in range(count)] for word, count in sizes.items()}
    lexicon = SimilarWords.build(entries)
    asked = [*sizes, (150,), (5, 150), (5,) * 7]
    ids = np.array([token for word in asked for token in word])
    length = np.array([len(word) for word in asked])
    found = lexicon.find(ids, np.cumsum(length) - length, length)
    assert (found[: len(sizes)] >= 0).all() and (found[len(sizes) :] == -1).all()
    for word, entry in zip(sizes, found, strict=False):
        picks = {tuple(lexicon.choose(np.array([entry]), np.array([u]))[0]) for u in (0.01, 0.4, 0.99)}
        assert {tuple(t for t in pick if t >= 0) for pick in picks} <= {tuple(other) for other in entries[word]}


def test_alternatives_of_another_length_drop_out() -> None:
    lexicon = SimilarWords.build({(5, 6): [(7,), (8, 9), (5, 6)]})
    assert lexicon.count.tolist() == [1]
    with pytest.raises(ValueError, match="same number of tokens"):
        SimilarWords.build({(5, 6): [(7,)]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": 0.9}, "sum to 1"),
        ({"mask": 1.1, "random": -0.2}, "sum to 1"),
        ({"per": "word"}, "per='word'"),
        ({"mask": 0.0, "similar": 0.8}, "lexicon"),
        ({"mask": 0.0, "similar": 0.8, "lexicon": LEXICON, "per": "token"}, "per='unit'"),
    ],
)
def test_impossible_mixes_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Replace(VOCABULARY, **change)


def test_vocabulary_is_read_from_a_tokenizer_and_checked() -> None:
    class Tokenizer:
        mask_token_id: int | None = 3
        all_special_ids = (0, 3)

        def __len__(self) -> int:
            return 6

    tokenizer = Tokenizer()
    assert MaskVocabulary.from_tokenizer(tokenizer).ordinary_ids.tolist() == [1, 2, 4, 5]
    tokenizer.mask_token_id = None
    with pytest.raises(ValueError, match="no mask token"):
        MaskVocabulary.from_tokenizer(tokenizer)
    with pytest.raises(ValueError, match="outside the vocabulary"):
        MaskVocabulary(5, 5)
    with pytest.raises(ValueError, match="special"):
        MaskVocabulary(2, 0, (0, 1))
