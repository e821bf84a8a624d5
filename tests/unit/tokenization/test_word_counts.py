from collections import Counter

import pytest

from chinese_modernbert.tokenization import TextDocument, load_segmenter
from chinese_modernbert.tokenization.word_counts import (
    choose_alphabet,
    count_words,
    forget_rarest,
    sample_documents,
    split_at_rare_characters,
)

DOCUMENTS = [
    TextDocument("字" * length, source, f"{source}:{number}")
    for source, n_documents in (("甲", 1000), ("乙", 40))
    for number in range(n_documents)
    for length in (5, 500)
]


@pytest.mark.parametrize("share", [0.15, 0.5])
def test_the_sample_takes_the_same_share_of_every_source_and_length(share: float) -> None:
    strata = Counter((d.source, len(d.text)) for d in DOCUMENTS)
    sample = Counter((d.source, len(d.text)) for d in sample_documents(DOCUMENTS, share, seed=3))
    assert sample.keys() == strata.keys()
    assert all(abs(sample[stratum] - share * strata[stratum]) <= 1 for stratum in strata)


def test_the_sample_is_decided_by_the_seed_and_a_share_of_one_is_everything() -> None:
    assert list(sample_documents(DOCUMENTS, 0.2, 1)) == list(sample_documents(DOCUMENTS, 0.2, 1))
    assert list(sample_documents(DOCUMENTS, 0.2, 1)) != list(sample_documents(DOCUMENTS, 0.2, 2))
    assert list(sample_documents(DOCUMENTS, 1.0)) == DOCUMENTS


def test_words_are_counted_with_their_leading_space_and_without_the_mark() -> None:
    counts = count_words(["北京大学 的 the the １２３４\ufdd0"], load_segmenter())
    assert counts.words == {"北京大学": 1, " ": 3, "的": 1, " the": 2, "123": 1, "4": 1}
    assert not counts.pairs


def test_pairs_are_counted_inside_han_runs_only() -> None:
    counts = count_words(["我们在北京,在北京 我们"], load_segmenter(), with_pairs=True)
    assert counts.pairs == {("我们", "在"): 1, ("在", "北京"): 2}


def test_the_rarest_are_forgotten_when_there_are_too_many() -> None:
    counts: Counter[str] = Counter({str(number): 1 for number in range(100)} | {"a": 5, "b": 7})
    forget_rarest(counts, most=102)
    assert len(counts) == 102
    forget_rarest(counts, most=101)
    assert counts == {"a": 5, "b": 7}


def test_alphabet_ties_are_broken_by_code_point() -> None:
    assert choose_alphabet(Counter({"乙": 1, "甲": 1, "丙丙": 1}), 2) == sorted(["丙", "乙"])


def test_words_are_split_at_characters_outside_the_alphabet() -> None:
    assert split_at_rare_characters(Counter({"天龘地": 2, "天": 1, "龘": 9, "a]b": 1}), ["天", "地", "]"]) == {
        "天": 3,
        "地": 2,
        "]": 1,
    }
