"""Texts that are cut before they are tokenized give the tokens that the library gives of whole ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder

from chinese_modernbert.evaluation.retrieval.loading import load_search_model
from chinese_modernbert.evaluation.retrieval.reranker import Reranker

PIECES = ["北京", "是首都", "天气很好", "，", "。。。", " Tiger", "12345", "  ", "龘", "a", "\n"]


def drawn_text(generator: np.random.Generator, longest: int) -> str:
    """Return a text of up to so many pieces, short and long ones alike often."""
    count = int(np.exp(generator.uniform(0, np.log(longest))))
    return "".join(generator.choice(PIECES, count))


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Characters of the longest text of every call that reaches the library."""
    found: list[int] = []
    whole: Any = CrossEncoder.preprocess

    def spy(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        found.append(max(len(text) for pair in inputs for text in pair))
        return whole(self, inputs, *args, **kwargs)

    monkeypatch.setattr(CrossEncoder, "preprocess", spy)
    return found


@pytest.mark.parametrize("longest", [9, 20, 31, 64])
@pytest.mark.parametrize("prompt", ["", "问题：北"])
def test_cut_pairs_have_the_tokens_of_whole_ones(
    longest: int, prompt: str, reranker: Reranker, given: list[int]
) -> None:
    generator = np.random.default_rng(longest)
    before, reranker.max_seq_length = reranker.max_seq_length, longest
    try:
        for _ in range(60):
            pair = (drawn_text(generator, 200), drawn_text(generator, 200))
            expected = CrossEncoder.preprocess(reranker, [pair], prompt=prompt)
            found = reranker.preprocess([pair], prompt=prompt)
            assert set(found) == set(expected)
            for name, value in expected.items():
                same = torch.equal(found[name], value) if isinstance(value, torch.Tensor) else found[name] == value
                assert same, (name, pair)
    finally:
        reranker.max_seq_length = before
    whole, cut = given[::2], given[1::2]
    assert sum(one > other for one, other in zip(whole, cut, strict=True)) > 10


def test_which_side_is_longer_decides_who_gets_the_odd_token(reranker: Reranker) -> None:
    before, reranker.max_seq_length = reranker.max_seq_length, 20  # 17 for both sides
    try:
        kept = []
        for pair in (("北" * 200, "北" * 300), ("北" * 300, "北" * 200), ("北" * 200, "北" * 200)):
            ids = reranker.preprocess([pair])["input_ids"]
            assert torch.equal(ids, CrossEncoder.preprocess(reranker, [pair])["input_ids"])
            kept.append((ids[0] == reranker.tokenizer.sep_token_id).nonzero().flatten().tolist()[0] - 1)  # type: ignore[union-attr]
        assert kept == [8, 9, 8]
    finally:
        reranker.max_seq_length = before


def test_texts_of_100_000_characters_never_reach_the_library(
    reranker: Reranker, given: list[int], tmp_path: Path
) -> None:
    reranker.save(str(tmp_path / "model"))
    loaded: Any = load_search_model(tmp_path / "model")
    assert isinstance(loaded, Reranker)
    scores = loaded.predict([("北京天气" * 25_000, "北京很好"), ("北京", "天气 Tiger" * 12_500)])
    assert np.isfinite(scores).all() and max(given) < 3_000


def test_it_is_saved_as_the_class_of_the_library(reranker: Reranker, tmp_path: Path) -> None:
    reranker.save(str(tmp_path / "model"))
    assert "Reranker" not in "".join(file.read_text("utf-8") for file in (tmp_path / "model").glob("*.json"))
    assert isinstance(CrossEncoder(str(tmp_path / "model"), trust_remote_code=True), CrossEncoder)


def test_other_inputs_are_left_alone(reranker: Reranker) -> None:
    long = "北京" * 2_000
    for longest in (10**9, 256):
        pair = ["北京", long[:200]]
        assert torch.equal(
            reranker.preprocess([pair], max_length=longest)["input_ids"],
            CrossEncoder.preprocess(reranker, [pair], max_length=longest)["input_ids"],
        )
