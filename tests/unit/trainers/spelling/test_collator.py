"""Batches of pairs: labels, errors and hidden characters by places that are found by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from chinese_modernbert.evaluation.spelling import SpellingPair
from chinese_modernbert.modeling import ChineseModernBertConfig
from chinese_modernbert.modeling.characters_chinese_modernbert import CharacterReader
from chinese_modernbert.modeling.spelling_chinese_modernbert import SpellingSettings
from chinese_modernbert.tokenization.loading import load_tokenizer
from chinese_modernbert.trainers.spelling.collator import SpellingCollator, spelling_rows

PAIRS = [
    SpellingPair("今天ab气很女。我们", "今天ab气很好。我们"),  # 女 is no token: it is context and cannot be mended
    SpellingPair("北今是1", "北京是1"),
    SpellingPair("公圆散步", "公园散步"),
    SpellingPair("书写", "龘写"),  # what is right is no token: nothing to learn but the error
    SpellingPair("abc😀", "abx😀"),
]


@pytest.fixture(scope="module")
def parts(saved_checkpoint: Path) -> tuple[Any, CharacterReader, ChineseModernBertConfig]:
    tokenizer = load_tokenizer(saved_checkpoint)
    return tokenizer, CharacterReader(tokenizer), ChineseModernBertConfig.from_pretrained(saved_checkpoint)


def collator(parts: tuple[Any, ...], share: float, arm: str = "tagging") -> SpellingCollator:
    return SpellingCollator(parts[1], SpellingSettings(arm=arm), parts[2], share, seed=3)


@pytest.mark.parametrize("arm", ["tagging", "relm"])
def test_labels_are_the_right_characters_at_the_places_of_the_written_ones(arm: str, parts: tuple[Any, ...]) -> None:
    tokenizer, reader, _ = parts
    rows = list(spelling_rows(PAIRS, reader, 256))
    batch = collator(parts, 0.0, arm)(rows)
    labels = ["-" if one == -100 else tokenizer.convert_ids_to_tokens(one) for one in batch["labels"].tolist()]
    assert "".join(labels) == "今天气很我们北京是公散步-写"
    assert batch["is_error"].tolist() == [0] * 6 + [0, 1, 0] + [0, 0, 0] + [1, 0]
    given = batch["input_ids"].flatten()[batch["target_positions"]].tolist()
    expected = "今天气很我们北今是公散步书写"
    if arm == "tagging":
        assert "".join(map(str, tokenizer.convert_ids_to_tokens(given))) == expected
    else:
        assert given == [tokenizer.mask_token_id] * len(expected)
    assert batch["candidate_ids"].tolist() == list(reader.candidate_ids)


def test_sentences_are_cut_as_a_text_is_that_is_corrected(parts: tuple[Any, ...]) -> None:
    rows = list(spelling_rows(PAIRS[:1], parts[1], 256))
    assert [len(row.labels) for row in rows] == [4, 2]
    assert [len(row.labels) for row in spelling_rows([PAIRS[2]], parts[1], 2)] == [1, 2]


def test_a_share_of_the_right_characters_is_hidden_and_of_the_wrong_ones_none(parts: tuple[Any, ...]) -> None:
    tokenizer, reader, _ = parts
    pairs = [SpellingPair("今天天气很好我们去公园散步", "今天天气很好我们去北京散步")] * 400
    rows = list(spelling_rows(pairs, reader, 256))
    batch, again = collator(parts, 0.3)(rows), collator(parts, 0.3)(rows)
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    hidden = (batch["input_ids"].flatten()[batch["target_positions"]] == tokenizer.mask_token_id).view(400, -1)
    errors = torch.tensor(rows[0].is_error)
    assert errors.sum() == 2 and not hidden[:, errors].any()
    assert abs(hidden[:, ~errors].float().mean() - 0.3) < 0.03  # 4,400 draws: four deviations
    assert torch.equal(batch["is_error"].view(400, -1) == -100, hidden)
    assert torch.equal(batch["labels"], collator(parts, 0.0)(rows)["labels"])


def test_the_same_row_is_hidden_otherwise_the_next_time(parts: tuple[Any, ...]) -> None:
    rows = list(
        spelling_rows([SpellingPair("今天天气很好我们去公园散步", "今天天气很好我们去公园散步")], parts[1], 256)
    )
    one = collator(parts, 0.4)
    seen = {tuple(one(rows)["input_ids"].flatten().tolist()) for _ in range(8)}
    assert len(seen) > 4
