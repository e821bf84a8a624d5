"""Universal tags of words through jieba, and the mapping of its flags."""

import pytest

from chinese_modernbert.trainers.masking.materials.tags import JIEBA_FLAGS, UNIVERSAL_TAGS, jieba_tagger, universal_tag


def test_the_tags_are_the_seventeen_universal_ones_in_order() -> None:
    assert len(UNIVERSAL_TAGS) == 17 and sorted(UNIVERSAL_TAGS) == list(UNIVERSAL_TAGS)
    assert set(JIEBA_FLAGS.values()) <= set(UNIVERSAL_TAGS)


@pytest.mark.parametrize(
    ("word", "tag"),
    [
        ("桌子", "NOUN"),
        ("喜欢", "VERB"),
        ("北京", "PROPN"),
        ("三", "NUM"),
        ("我们", "PRON"),
        ("，", "PUNCT"),
        ("很", "ADV"),
    ],
)
def test_words_get_the_tag_that_a_reader_would_give(word: str, tag: str) -> None:
    pytest.importorskip("jieba")
    assert UNIVERSAL_TAGS[jieba_tagger()(word)] == tag


def test_the_longest_known_prefix_of_a_flag_wins() -> None:
    assert [universal_tag("词", flag) for flag in ("nrt", "vnx", "zzz", "??")] == ["PROPN", "NOUN", "ADJ", "X"]
    assert universal_tag("很", "zg") == "ADV"
    assert universal_tag("！", "x") == "PUNCT" and universal_tag("abc", "x") == "X"
