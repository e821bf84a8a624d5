"""Every entry of any dictionary is found, in the words of a segmenter and in the units of a text."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chinese_modernbert.tokenization import fold_width, load_segmenter
from chinese_modernbert.tokenization.word_segmentation import read_user_dictionary
from chinese_modernbert.tokenization.word_starts import word_borders

CHARACTERS = st.sampled_from("的一是北京大学我爱网络認證臺灣嚟𠮷〇々㐂Tt恤CcAZ059ＡＩ５·.-+#/@_'’é(（《 　\u0301😀α")
ENTRY = st.text(CHARACTERS, min_size=1, max_size=8).filter(lambda entry: entry.strip())
STEADY = settings(derandomize=True, deadline=None, database=None, max_examples=25)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dictionaries") / "words.txt"


@pytest.mark.parametrize("name", ["rjieba", "lexicon"])
@STEADY
@given(entries=st.lists(ENTRY, min_size=1, max_size=6, unique_by=str.strip))
def test_every_entry_is_a_word_and_a_unit(file: Path, name: str, entries: list[str]) -> None:
    check(file, name, entries)


@settings(STEADY, max_examples=5)  # jieba reads its own dictionary anew each time, a second
@given(entries=st.lists(ENTRY, min_size=1, max_size=30, unique_by=str.strip))
def test_every_entry_is_a_word_of_jieba_too(file: Path, entries: list[str]) -> None:
    check(file, "jieba", entries)


def check(file: Path, name: str, entries: list[str]) -> None:
    file.write_text("\n".join(entries), encoding="utf-8")
    words = read_user_dictionary(file)
    # Only a part after a blank can be a column of jieba's.
    assert [word for entry, word in zip(entries, words, strict=True) if word != entry.strip()] == [
        word for entry, word in zip(entries, words, strict=True) if word != entry.strip() and " " in fold_width(entry)
    ]
    segmenter = load_segmenter(name, file)
    for word in map(fold_width, words):
        text = f"\n{word}\n"
        assert segmenter.cut(text) == ["\n", word, "\n"], word
        borders = word_borders([text], segmenter)
        assert np.flatnonzero(borders).tolist() == [0, 1, len(word) + 1, len(word) + 2], word
