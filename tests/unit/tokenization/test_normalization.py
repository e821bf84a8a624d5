import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chinese_modernbert.tokenization.normalization import (
    FOLDED_CHARACTERS,
    check_encodable,
    fold_width,
    simplify,
    width_normalizer,
)


def test_folds_exactly_full_width_letters_digits_and_the_ideographic_space() -> None:
    assert len(FOLDED_CHARACTERS) == 63
    assert fold_width("ＡＺａｚ０９\u3000") == "AZaz09 "


def test_every_folded_character_agrees_with_unicode_compatibility_forms() -> None:
    assert all(unicodedata.normalize("NFKC", wide) == narrow for wide, narrow in FOLDED_CHARACTERS.items())


@pytest.mark.parametrize("text", ["，。！？（）：；", "～＠＃％＆", "ｶﾀｶﾅ", "½ﬁ㈱", "é\u0301"])
def test_chinese_punctuation_and_other_forms_stay(text: str) -> None:
    assert fold_width(text) == text


@given(st.text(alphabet=st.one_of(st.characters(exclude_categories=("Cs",)), st.sampled_from("Ａ９\u3000\u0301中"))))
def test_stock_normalizer_equals_the_function_and_keeps_the_length(text: str) -> None:
    assert width_normalizer().normalize_str(text) == fold_width(text)
    assert len(fold_width(text)) == len(text)


def test_a_lone_surrogate_is_named_with_its_position() -> None:
    check_encodable("好😀")
    with pytest.raises(ValueError, match=r"row 3 .*U\+D800 at character 1"):
        check_encodable("好\ud800", "row 3")


def test_simplification_is_one_to_one_and_leaves_simplified_text() -> None:
    assert simplify("圖書館與電腦，Ａ乾") == "图书馆与电脑，Ａ干"
    text = "图书馆与电脑，著名的瞭望台"
    assert simplify(text) is text
    assert simplify(simplify("裏裡麼麽")) == simplify("裏裡麼麽") == "里里么么"
