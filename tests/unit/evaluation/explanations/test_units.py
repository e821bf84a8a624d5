"""Every token that is not special belongs to one word, and words hold the text."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from chinese_modernbert.evaluation.explanations.units import WordUnit, word_units
from chinese_modernbert.tokenization.word_segmentation import load_segmenter
from reference.tiny_bert import write_tiny_bert
from reference.tiny_checkpoint import write_tiny_checkpoint

PAIRS = [
    ("他喜欢公园", "天气很好"),
    ("𠮷野家会议", "嚟 GPT4 模型"),
    ("  ", "天气"),
    ("ＡＢＣ公司，２０２４年", "don't 散步 ！"),
    ("\n北京\t会议 \u3000", "读 书"),
    ("", "天气"),
]


@pytest.fixture(scope="module", params=["ours", "bert"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    write = write_tiny_bert if request.param == "bert" else write_tiny_checkpoint
    return AutoTokenizer.from_pretrained(write(tmp_path_factory.mktemp(request.param)))


@pytest.mark.parametrize("segmenter", ["rjieba", "none"])
@pytest.mark.parametrize("texts", PAIRS)
def test_words_hold_every_token_once_and_no_character_twice(
    tokenizer: Any, segmenter: str, texts: tuple[str, str]
) -> None:
    encoded = tokenizer(*texts, return_offsets_mapping=True)
    parts = encoded.sequence_ids(0)
    units = word_units(texts, encoded["offset_mapping"], parts, load_segmenter(segmenter))
    held = [position for unit in units for position in unit.positions]
    assert held == [i for i, part in enumerate(parts) if part is not None]
    for unit in units:
        assert {parts[i] for i in unit.positions} == {unit.part}
        assert texts[unit.part][unit.start : unit.end] == unit.text
    assert all(unit.text for unit in units if unit.positions[0] and parts[unit.positions[0] - 1] == unit.part)
    for part, text in enumerate(texts):
        own = [unit for unit in units if unit.part == part and unit.text]
        assert all(before.end <= after.start for before, after in zip(own, own[1:], strict=False))
        assert "".join("".join(unit.text for unit in own).split()) == "".join(text.split())


def test_words_are_those_of_the_segmenter_where_tokens_are_characters(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(write_tiny_bert(tmp_path))
    encoded = tokenizer("上海会议举行了", return_offsets_mapping=True)
    units = word_units(["上海会议举行了"], encoded["offset_mapping"], encoded.sequence_ids(0), load_segmenter())
    assert [unit.text for unit in units] == load_segmenter().cut("上海会议举行了")
    assert units[0] == WordUnit("上海", 0, 0, 2, (1, 2))


def test_a_blank_whose_offsets_leave_it_out_belongs_to_the_word_before_it() -> None:
    offsets = [(0, 0), (0, 1), (2, 2), (2, 3), (0, 0)]
    units = word_units(["好 坏"], offsets, [None, 0, 0, 0, None], load_segmenter("none"))
    assert [(unit.text, unit.positions) for unit in units] == [("好", (1, 2)), ("坏", (3,))]
