import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chinese_modernbert.tokenization import WordSegmenter, load_segmenter
from chinese_modernbert.tokenization.word_segmentation import LexiconSegmenter

TEXT = "我爱北京天安门,iPhone 15 也行\n\n"
ANY_TEXT = st.text(alphabet=st.one_of(st.characters(exclude_categories=("Cs",)), st.sampled_from("北京大学a1 \r\n\t")))


def make(name: str, tmp_path: Path) -> WordSegmenter:
    dictionary = tmp_path / "words.txt"
    dictionary.write_text("天安门\n北京 5 ns\n", encoding="utf-8")
    return load_segmenter(name, dictionary if name == "lexicon" else None)


@pytest.mark.parametrize("name", ["rjieba", "jieba", "lexicon"])
def test_known_words_are_found_and_nothing_is_lost(name: str, tmp_path: Path) -> None:
    words = make(name, tmp_path).cut(TEXT)
    assert isinstance(make(name, tmp_path), WordSegmenter)
    assert "".join(words) == TEXT
    assert {"北京", "天安门"} <= set(words)


def test_none_makes_every_han_character_a_word() -> None:
    assert load_segmenter("none").cut("北京A1 大") == ["北", "京", "A1", " ", "大"]


@given(ANY_TEXT)
def test_rjieba_and_lexicon_words_join_to_any_text(text: str) -> None:
    assert "".join(load_segmenter("rjieba").cut(text)) == text
    assert "".join(LexiconSegmenter(["北京", "大学"]).cut(text)) == text


def test_lexicon_takes_the_longest_word_from_the_left() -> None:
    assert LexiconSegmenter(["北京", "北京大学", "学生"]).cut("北京大学生北") == ["北京大学", "生", "北"]


@pytest.mark.parametrize("name", ["rjieba", "jieba"])
def test_a_user_dictionary_changes_the_cut_of_that_segmenter_only(name: str, tmp_path: Path) -> None:
    dictionary = tmp_path / "words.txt"
    dictionary.write_text("心脉隆注射液\n", encoding="utf-8")
    assert "心脉隆注射液" in load_segmenter(name, dictionary).cut("使用心脉隆注射液治疗")
    assert "心脉隆注射液" not in load_segmenter(name).cut("使用心脉隆注射液治疗")


def test_wrong_requests_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown segmenter 'ltp'; choose one of rjieba"):
        load_segmenter("ltp")
    with pytest.raises(ValueError, match="'lexicon' needs user_dictionary"):
        load_segmenter("lexicon")
    with pytest.raises(FileNotFoundError, match="no user dictionary"):
        load_segmenter("rjieba", tmp_path / "none.txt")
    (tmp_path / "gb.txt").write_bytes("北京".encode("gb18030"))
    with pytest.raises(ValueError, match="not UTF-8"):
        load_segmenter("rjieba", tmp_path / "gb.txt")
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(ValueError, match="holds no word"):
        load_segmenter("lexicon", tmp_path / "empty.txt")
    with pytest.raises(ValueError, match="takes no user_dictionary"):
        load_segmenter("none", tmp_path / "empty.txt")


@pytest.mark.parametrize("name", ["rjieba", "jieba"])
def test_a_missing_package_is_named_with_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pip install 'chinese-modernbert\[segment\]'"):
        load_segmenter(name)
