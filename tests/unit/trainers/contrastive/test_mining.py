"""Mined negatives: the nearest that the filter leaves, from search of any kind, never a text that is known to fit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder

from chinese_modernbert.evaluation.retrieval.bm25 import Bm25Searcher
from chinese_modernbert.evaluation.retrieval.searcher import Searcher
from chinese_modernbert.evaluation.retrieval.vectors import DenseSearcher
from chinese_modernbert.evaluation.sentences.rows import Triplet
from chinese_modernbert.tokenization import load_segmenter
from chinese_modernbert.trainers.contrastive.mining import check_models, mine, named_models, negatives_source
from chinese_modernbert.trainers.contrastive.options import ContrastiveStage
from reference.tiny_kinds import load_tiny, save_tiny

ANIMALS = "虎狮熊猫狗马牛羊鸡鸭鱼鸟"
# Passages of every length, so that no two score the same.
QUESTIONS = [
    Triplet(f"{a}吃什么", f"{a}吃{b}也吃肉，" + "上山去，" * n)
    for n, (a, b) in enumerate(zip(ANIMALS, ANIMALS[1:], strict=False))
]


def nearest(triplets: Sequence[Triplet], searcher: Searcher, count: int, margin: float) -> dict[str, list[str]]:
    """Return the best passages of each anchor that score `margin` below its own, found one by one."""
    passages = list(dict.fromkeys(triplet.positive for triplet in triplets))
    searcher.build(passages)
    found = {}
    for triplet in triplets:
        numbers, scores = searcher.search([triplet.anchor], len(passages))
        of = {passages[number]: score for number, score in zip(numbers[0], scores[0], strict=True)}
        limit = of[triplet.positive] * (1 - margin)
        kept = [text for text, score in of.items() if -np.inf < score <= limit and text != triplet.positive]
        found[triplet.anchor] = kept[:count]
    return found


@pytest.mark.parametrize("margin", [0.05, 0.97])
def test_words_find_the_nearest_that_are_below_the_positive(margin: float) -> None:
    expected = nearest(QUESTIONS, Bm25Searcher(load_segmenter()), 2, margin)
    mined = mine(QUESTIONS, Bm25Searcher(load_segmenter()), 2, margin)
    assert {one.anchor: sorted(one.negatives) for one in mined} == {a: sorted(found) for a, found in expected.items()}
    assert sum(map(len, expected.values())) > 3


def test_an_encoder_finds_the_same_by_itself_and_as_a_searcher(checkpoint: Path) -> None:
    model = load_tiny("dense", checkpoint)
    alone, searched = (mine(QUESTIONS, source, 2, 0.001) for source in (model, DenseSearcher(model)))
    assert alone == searched and any(one.negatives for one in alone)


def test_a_text_that_another_row_says_is_alike_is_never_mined() -> None:
    pairs = [Triplet("虎吃什么肉", "什么肉虎吃"), Triplet("老虎吃什么肉", "虎吃什么肉"), *QUESTIONS]
    mined = mine(pairs, Bm25Searcher(load_segmenter()), 3, -10.0)  # a margin that lets all through
    first = set(mined[0].negatives)
    assert first and "虎吃什么肉" not in first  # itself, a positive of another row


def test_a_positive_of_the_reverse_row_is_never_mined() -> None:
    pairs = [Triplet("虎吃肉", "肉虎吃"), Triplet("肉虎吃", "吃肉虎"), Triplet("狗吃肉", "虎吃肉"), *QUESTIONS]
    mined = mine(pairs, Bm25Searcher(load_segmenter()), 3, -10.0)
    assert mined[1].negatives and "虎吃肉" not in mined[1].negatives


class FixedJudge:
    """A judge to whom one text fits every query as well as the positive, and no other."""

    def __init__(self, fitting: str) -> None:
        self.fitting = fitting

    def predict(self, pairs: Sequence[tuple[str, str]], **options: Any) -> torch.Tensor:
        return torch.tensor([1.0 if a[0] == b[0] or b == self.fitting else 0.1 for a, b in pairs])


def test_a_judge_decides_which_candidate_fits_and_the_source_only_finds() -> None:
    source = Bm25Searcher(load_segmenter())
    free: list[Any] = mine(QUESTIONS, source, 4, 0.05)
    fitting = free[0].negatives[0]
    judged = mine(QUESTIONS, source, 4, 0.05, FixedJudge(fitting))  # pyright: ignore[reportArgumentType]
    assert fitting not in judged[0].negatives and len(judged[0].negatives) == 4


def test_folders_are_models_for_search_and_a_reranker_finds_nothing(checkpoint: Path, tmp_path: Path) -> None:
    dense, reranker = (save_tiny(kind, checkpoint, tmp_path / kind) for kind in ("dense", "reranker"))
    stage = {"data": ["x"], "mined_negatives": 1}
    check_models(ContrastiveStage(**stage, negatives_from=str(dense), teacher=str(reranker)))
    for options, message in (
        ({"negatives_from": str(reranker)}, "is a reranker, which finds nothing; use bm25"),
        ({"teacher": str(dense)}, "is a SentenceTransformer; give a reranker"),
        ({"teacher": str(tmp_path)}, "holds no model"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            check_models(ContrastiveStage(**stage, **options))
    model = load_tiny("reranker", checkpoint)
    assert isinstance(model, CrossEncoder) and isinstance(negatives_source(None, model), Bm25Searcher)
    with pytest.raises(ValueError, match="use bm25"):
        negatives_source("model", model)
    named = named_models(ContrastiveStage(**stage, negatives_from="bm25", teacher=str(reranker)))
    assert set(named) == {"teacher"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"negatives_from": "bm25"}, "finds nothing; give mined_negatives too"),
        ({"loss": "distillation"}, "needs a teacher"),
        ({"teacher": "x"}, "is not read; use loss: distillation, or mined_negatives"),
        ({"loss": "cosent", "mined_negatives": 2}, "takes no mined_negatives"),
    ],
)
def test_an_option_of_a_stage_that_would_not_act_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ContrastiveStage(["x"], **options)
    assert "\n" not in str(caught.value)
