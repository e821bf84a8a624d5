"""The picture shows what was done: units in brackets, fates in colours, chances as measured."""

from pathlib import Path

import numpy as np
import pytest

from chinese_modernbert.trainers.masking import ColumnUnits, Masker, MaskVocabulary, PackedBatch, Replace
from chinese_modernbert.trainers.masking.preview import (
    STYLES,
    chance_by,
    draw_curves,
    render,
    unit_frequency_classes,
    unit_lengths,
    unit_tags,
)

TOKENS = ["[P]", "[C]", "[M]", "北", "京", "大", "学"]
VOCABULARY = MaskVocabulary(7, 2, (0, 1, 2))
BATCH = PackedBatch(
    input_ids=np.array([[1, 3, 4, 5, 6, 3, 1]]),
    word_ids=np.array([[-1, 0, 0, 1, 1, 2, -1]]),
    tags={"pos": np.array([[-1, 0, 0, 1, 1, 0, -1]])},
)


def show(mask: float, random: float, keep: float, rate: float = 1.0) -> tuple[str, set[str]]:
    text = render(Masker(ColumnUnits(), rate, Replace(VOCABULARY, mask, random, keep))(BATCH, 0.0), TOKENS, 2)
    return text.plain, {str(span.style) for span in text.spans}


def test_units_are_boxed_and_fates_coloured() -> None:
    assert show(1, 0, 0, rate=0.0) == ("[北京][大学][北]", {"dim"})
    assert show(1, 0, 0) == ("[北>▢京>▢][大>▢学>▢][北>▢]", {"dim", STYLES["mask"]})
    assert show(0, 0, 1) == ("[北=京=][大=学=][北=]", {"dim", STYLES["keep"]})
    assert ">" in show(0, 1, 0)[0] and STYLES["random"] in show(0, 1, 0)[1]


def test_chances_are_measured_by_length_tag_and_frequency() -> None:
    masker = Masker(ColumnUnits(), 0.4, Replace(VOCABULARY))
    by_length = chance_by(masker, BATCH, 0.0, unit_lengths, epochs=2000)
    assert set(by_length) == {1, 2}
    assert (by_length[1] + 4 * by_length[2]) / 5 == pytest.approx(0.4, abs=0.03)
    assert set(chance_by(masker, BATCH, 0.0, unit_tags(BATCH, "pos"))) == {0, 1}
    counts = np.array([0, 0, 0, 5, 5, 500, 5])
    assert set(chance_by(masker, BATCH, 0.0, unit_frequency_classes(BATCH, counts))) == {1, 3}


def test_a_picture_is_small_and_lands_where_asked(tmp_path: Path) -> None:
    masker = Masker(ColumnUnits(), 0.4, Replace(VOCABULARY))
    path = draw_curves(masker, {"tokens": {1: 0.1, 2: 0.2}}, tmp_path / "x.png", "title", progress=0.3)
    assert path.read_bytes()[:4] == b"\x89PNG" and path.stat().st_size < 100_000
