import pytest
import regex

from chinese_modernbert.tokenization import TextDocument
from chinese_modernbert.trainers.data.filters import (
    DocumentCounts,
    MinimumCharacters,
    MinimumHanShare,
    han_share,
    keep_documents,
)

OLD_MARKS = (0x16FE2, 0x16FE3, *range(0x16FF0, 0x16FF7))
"""Reading marks of the script Han that the tokenizer's list of ranges leaves out."""


def document(text: str) -> TextDocument:
    return TextDocument(text, "source", "file:1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n",
        "老虎",
        "老虎 tiger 12 ",
        "一，二。",
        "\U00020000\U00031350x",
        "〇々〡〺豈⺀",
        "ひらがなカタカナ",
        "\U0010ffff中",
    ],
)
def test_the_share_of_han_characters_is_that_of_the_unicode_script(text: str) -> None:
    characters = regex.sub(r"\s", "", text)
    expected = len(regex.findall(r"\p{Han}", characters)) / max(1, len(characters))
    assert han_share(text) == pytest.approx(expected)


def test_every_assigned_character_is_han_exactly_where_unicode_says_so() -> None:
    # Up to Unicode 15.1; the library of the oracle may know a later extension.
    assigned = [chr(code) for code in range(0x323B0) if not 0xD800 <= code < 0xE000]
    assigned = regex.findall(r"[^\p{Cn}\s]", "".join(assigned))
    wrong = [hex(ord(c)) for c in assigned if (han_share(c) == 1.0) != bool(regex.match(r"\p{Han}", c))]
    assert set(wrong) <= {hex(code) for code in OLD_MARKS}


def test_white_space_does_not_make_a_document_long_enough() -> None:
    keep = MinimumCharacters(3)
    assert [keep(document(text)) for text in ("一二三", "一 二 三", "一 二\n\n\n", "一二")] == [
        None,
        None,
        "too_short",
        "too_short",
    ]


def test_the_share_is_a_lower_bound_that_counts_as_enough() -> None:
    keep = MinimumHanShare(0.5)
    assert [keep(document(text)) for text in ("老虎ab", "老虎abc")] == [None, "little_han"]


def test_a_document_is_counted_under_the_first_reason_and_later_filters_do_not_see_it() -> None:
    seen: list[str] = []

    def watch(one: TextDocument) -> str | None:
        seen.append(one.text)
        return "wanted_less" if "x" in one.text else None

    counts = DocumentCounts()
    given = [document(text) for text in ("一", "一二x", "一二", "x")]
    kept = list(keep_documents(iter(given), [MinimumCharacters(2), watch], counts))
    assert [one.text for one in kept] == ["一二"]
    assert seen == ["一二x", "一二"]
    assert counts == DocumentCounts(4, len("一一二x一二x".encode()), {"too_short": 2, "wanted_less": 1})
