"""Reading by characters: every place is the character's own, whatever stands between."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from chinese_modernbert.modeling.characters_chinese_modernbert import CharacterReader, cut_sentences
from chinese_modernbert.tokenization.loading import load_tokenizer

TEXTS = (
    "",
    "今天天气很好。",
    "我们去公园😀散步，ＡＢＣ１２３ and ModernBERT 8192！",
    "\U00020000\U0002a6df龘今天 　全　角",  # characters beyond U+FFFF, of which the vocabulary has none
    "\U0001f468\u200d\U0001f469\u200d\U0001f467今é́天\ufe0f",  # several code points that are one sign
    "臺灣與香港今天",
    "[MASK]今[SEP]天[PAD]",
    "北京\r\n\t今天\x00中国",
    "今\ud800天",
)


@pytest.fixture(scope="module")
def tokenizer(saved_checkpoint: Path) -> PreTrainedTokenizerFast:
    return load_tokenizer(saved_checkpoint)


@pytest.mark.parametrize("text", TEXTS)
def test_each_place_is_the_token_of_the_character_at_its_offset(text: str, tokenizer: PreTrainedTokenizerFast) -> None:
    reader = CharacterReader(tokenizer)
    read = reader.read(text)
    assert [tokenizer.convert_ids_to_tokens(read.ids[place]) for place in read.places] == [
        text[offset] for offset in read.offsets
    ]
    known = [i for i, character in enumerate(text) if character in tokenizer.get_vocab() and "一" <= character <= "龥"]
    assert read.offsets == known
    assert [reader.characters[column] for column in read.columns] == [text[offset] for offset in read.offsets]


@pytest.mark.parametrize("text", TEXTS[:-1])
def test_nothing_of_a_text_is_lost_and_no_special_token_is_read(text: str, tokenizer: PreTrainedTokenizerFast) -> None:
    ids = CharacterReader(tokenizer).read(text).ids
    assert not set(ids) & set(tokenizer.all_special_ids)
    normalizer = tokenizer.backend_tokenizer.normalizer
    assert tokenizer.backend_tokenizer.decode(ids, skip_special_tokens=False) == normalizer.normalize_str(text)


def test_a_character_is_never_part_of_a_longer_token(tokenizer: PreTrainedTokenizerFast) -> None:
    text = "北京是中国的首都"
    assert len(tokenizer(text, add_special_tokens=False)["input_ids"]) <= len(CharacterReader(tokenizer).read(text).ids)
    assert len(CharacterReader(tokenizer).read(text).ids) == len(text)


def test_candidates_are_the_single_characters_by_rising_id(tokenizer: PreTrainedTokenizerFast) -> None:
    reader = CharacterReader(tokenizer)
    tokens = [str(tokenizer.convert_ids_to_tokens(number)) for number in range(len(tokenizer))]
    expected = [number for number, token in enumerate(tokens) if len(token) == 1 and "一" <= token <= "龥"]
    assert list(reader.candidate_ids) == expected
    assert list(reader.characters) == [tokens[number] for number in expected]


class WithoutChinese:
    def get_vocab(self) -> dict[str, int]:
        return {"the": 0, "a": 1}


def test_a_vocabulary_without_chinese_is_refused() -> None:
    with pytest.raises(ValueError, match="no single Chinese character"):
        CharacterReader(WithoutChinese())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("今天好。", ["今天好。"]),
        ("今天好。”他说！！我们走\n\n去吗？", ["今天好。”", "他说！！", "我们走\n\n", "去吗？"]),
        ("。。走", ["。。", "走"]),
        ("一二三四五，六七八九十甲乙丙", ["一二三四五，", "六七八九十甲乙丙"]),
        ("一二三四五六七八九十甲乙丙", ["一二三四五六七八", "九十甲乙丙"]),
    ],
)
def test_sentences_end_at_their_signs_and_at_the_longest(text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in cut_sentences(text, 8)] == expected


@pytest.mark.parametrize("text", [*TEXTS, "今" * 100_000, "天。" * 50_000, "。" * 1000, "，" * 1000])
def test_sentences_cover_a_text_and_none_is_too_long_or_empty(text: str) -> None:
    spans = list(cut_sentences(text, 100))
    assert "".join(text[start:end] for start, end in spans) == text
    assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]]
    assert all(0 < end - start <= 100 for start, end in spans)
