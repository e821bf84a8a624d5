"""The rewritten tokenizer in the library tokenizers, which reads it as llama.cpp does, against the shipped one."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from chinese_modernbert.cli import SHIPPED_TOKENIZER
from chinese_modernbert.hub_release.gguf.tokenizer import INEXPRESSIBLE, SEPARATOR, prepare_text, rewrite_tokenizer

DOCUMENT = json.loads((SHIPPED_TOKENIZER / "tokenizer.json").read_text(encoding="utf-8"))
SHIPPED = Tokenizer.from_str(json.dumps(DOCUMENT))
REWRITTEN = Tokenizer.from_str(json.dumps(rewrite_tokenizer(DOCUMENT)))
UNKNOWN = 1
LONG_NUMBERS = ("2024", "1998", "1300", "6070")
TEXTS = (
    "今天天气很好，我们去公园散步。",
    "臺灣與香港使用繁體字，鑨砝苤矇。",
    "第３届会议于　2024 年 5 月 17 日举行，共 1,280 人，电话 13800138000。",
    "ModernBERT don't stop: (see https://a.b/c?d=1&e=%20) “quotes”……",
    "  two  spaces\n\n\tand a tab \r\n the end ",
    "👩🏽‍🚀🍺 e\u0301 é ﬁ ² ½ Ⅳ① かなカナー 한국어 العربية हिन्दी ไทย",
    "[CLS]今天[MASK]好[SEP]12345",
    r"$10 \times 10$，\\@某某",
    "\x00\x1b\u200b\ufeff",
    "",
)


def as_llama_cpp(text: str, tokenizer: Tokenizer = REWRITTEN) -> list[int]:
    """Return the ids of the rewritten tokenizer, without the separator, which llama.cpp drops and tokenizers marks."""
    return [token for token in tokenizer.encode(text, add_special_tokens=False).ids if token != UNKNOWN]


@pytest.mark.parametrize("text", TEXTS)
def test_a_prepared_text_has_the_ids_of_the_release(text: str) -> None:
    assert as_llama_cpp(prepare_text(SHIPPED, text)) == SHIPPED.encode(text, add_special_tokens=False).ids


@settings(max_examples=300, deadline=None)
@given(
    st.text(st.characters(codec="utf-8", exclude_characters="".join(INEXPRESSIBLE)) | st.sampled_from(" \n09１字aÀ"))
)
def test_any_prepared_text_has_the_ids_of_the_release(text: str) -> None:
    assert as_llama_cpp(prepare_text(SHIPPED, text)) == SHIPPED.encode(text, add_special_tokens=False).ids


def test_every_id_stays_and_every_token_says_what_it_said() -> None:
    old, new = DOCUMENT["model"]["vocab"], rewrite_tokenizer(DOCUMENT)["model"]["vocab"]
    assert list(new.values()) == list(old.values())
    changed = {was: now for was, now in zip(old, new, strict=True) if was.replace(" ", "\u2581") != now}
    assert changed == {"<0x01>": "<separator>"}


def test_unprepared_text_differs_in_long_numbers_alone() -> None:
    """Up to three digits in a row there is nothing to split; three of the longer numbers that do differ are pinned."""
    for width in (1, 2, 3):
        for number in range(10**width):
            text = f"第{number:0{width}d}号"
            assert as_llama_cpp(text) == SHIPPED.encode(text, add_special_tokens=False).ids
    pieces = {text: REWRITTEN.encode(text, add_special_tokens=False).tokens for text in LONG_NUMBERS}
    assert pieces == {"2024": ["202", "4"], "1998": ["199", "8"], "1300": ["1", "300"], "6070": ["60", "70"]}
    assert SHIPPED.encode("1300", add_special_tokens=False).tokens == ["130", "0"]


def test_merges_of_three_digits_come_first_so_that_round_numbers_and_years_stay_whole() -> None:
    """Without the new order `2000` would be `20` and `00`."""
    unordered = rewrite_tokenizer(DOCUMENT)
    unordered["model"]["merges"] = [
        [part.replace(" ", "\u2581") for part in pair] for pair in DOCUMENT["model"]["merges"]
    ]
    without = Tokenizer.from_str(json.dumps(unordered))
    assert as_llama_cpp("2000", without) != SHIPPED.encode("2000", add_special_tokens=False).ids
    assert as_llama_cpp("2000") == SHIPPED.encode("2000", add_special_tokens=False).ids


def test_what_the_recipe_for_other_programs_says_is_enough() -> None:
    """Folded widths and U+0001 after every third digit, without our splits."""
    for text in TEXTS[:5]:
        folded = SHIPPED.normalizer.normalize_str(text)
        digits = 0
        marked = ""
        for character in folded:
            if digits == 3 and character.isdigit():
                marked, digits = marked + SEPARATOR, 0
            digits = digits + 1 if character.isdigit() else 0
            marked += character
        assert as_llama_cpp(marked) == SHIPPED.encode(text, add_special_tokens=False).ids


def test_what_cannot_be_expressed_is_what_is_said() -> None:
    assert REWRITTEN.encode("a\u2581b", add_special_tokens=False).ids == SHIPPED.encode("a b").ids[1:-1]
    assert (
        as_llama_cpp("天\x01气") == SHIPPED.encode("天", add_special_tokens=False).ids + SHIPPED.encode("气").ids[1:-1]
    )
    for character in INEXPRESSIBLE:
        assert as_llama_cpp(prepare_text(SHIPPED, character)) != SHIPPED.encode(character).ids[1:-1]


def test_a_vocabulary_without_a_space_gives_the_space_its_byte() -> None:
    document = copy.deepcopy(DOCUMENT)
    del document["model"]["vocab"][" "]
    document["model"]["merges"] = [pair for pair in document["model"]["merges"] if " " not in pair[0]]
    without = Tokenizer.from_str(json.dumps(document))
    rewritten = Tokenizer.from_str(json.dumps(rewrite_tokenizer(document)))
    wanted = without.encode("a b", add_special_tokens=False)
    assert "<0x20>" in wanted.tokens
    assert rewritten.encode("a b", add_special_tokens=False).ids == wanted.ids


def test_tokenizers_of_another_kind_are_refused() -> None:
    for model in ({"type": "WordPiece"}, {"type": "BPE", "byte_fallback": False}):
        with pytest.raises(ValueError, match=r"only BPE with byte fallback can be written for llama\.cpp$"):
            rewrite_tokenizer({"model": model})
    document = {"model": {"type": "BPE", "byte_fallback": True, "vocab": {"a\u2581": 0}, "merges": []}}
    with pytest.raises(ValueError, match=r"holds '\u2581', which llama\.cpp needs; train without it$"):
        rewrite_tokenizer(document)


def test_the_shipped_tokenizer_is_not_touched() -> None:
    assert json.loads((SHIPPED_TOKENIZER / "tokenizer.json").read_text(encoding="utf-8")) == DOCUMENT
