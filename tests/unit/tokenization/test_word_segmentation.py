import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chinese_modernbert.tokenization import WordSegmenter, fold_width, load_segmenter
from chinese_modernbert.tokenization.word_segmentation import LexiconSegmenter, read_user_dictionary

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


# Sentences in both scripts, character by character; written for this test.
TWINS = [
    ("我們在臺灣的圖書館學習電腦網絡", "我们在台湾的图书馆学习电脑网络"),
    ("總統府發言人於記者會說明經濟政策", "总统府发言人于记者会说明经济政策"),
    ("他乾脆買了一臺筆記型電腦", "他干脆买了一台笔记型电脑"),
]


@pytest.mark.parametrize("name", ["rjieba", "jieba"])
@pytest.mark.parametrize(("traditional", "simplified"), [*TWINS, ("著名的乾隆皇帝", "著名的乾隆皇帝")])
def test_traditional_text_is_cut_as_its_simplified_twin(name: str, traditional: str, simplified: str) -> None:
    segmenter = load_segmenter(name)
    words = segmenter.cut(traditional)
    assert "".join(words) == traditional
    assert list(map(len, words)) == list(map(len, segmenter.cut(simplified)))


ENTRIES = [
    "5G网络",
    "T恤",
    "维生素C",
    "列夫·托尔斯泰",
    "New York",
    "iPhone 15",
    "ＡＩ芯片",
    "圖書館",
    "嚟",
    "𠮷野家",
    "C++",
    "A股",
]


@pytest.mark.parametrize("name", ["rjieba", "jieba", "lexicon"])
def test_every_entry_of_a_dictionary_is_found(name: str, tmp_path: Path) -> None:
    dictionary = tmp_path / "words.txt"
    dictionary.write_text("\n".join(ENTRIES), encoding="utf-8")
    segmenter = load_segmenter(name, dictionary)
    for entry in map(fold_width, ENTRIES):
        assert segmenter.cut(f"我爱{entry}的") == [*segmenter.cut("我爱"), entry, "的"]


def test_a_listed_latin_word_is_not_found_inside_a_longer_one() -> None:
    assert LexiconSegmenter(["AI", "5G网络"]).cut("MAIL和AI和15G网络") == ["MAIL", "和", "AI", "和", "15G", "网", "络"]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("北京 5 ns", "北京"), ("云计算 5", "云计算"), ("凱特琳 nz", "凱特琳"), ("Edu Trust认证", "Edu Trust认证"),
        ("New York", "New York"), ("iPhone 15", "iPhone 15"), ("iPhone 15 100 nz", "iPhone 15"), ("AI 100 n", "AI"),
        ("\tC++ ", "C++"),
    ],
)  # fmt: skip
def test_a_dictionary_has_jiebas_columns_or_none(line: str, word: str, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text(line + "\n", encoding="utf-8")
    assert read_user_dictionary(tmp_path / "words.txt") == [word]


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
