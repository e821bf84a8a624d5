"""Distillation: the teacher's logits are learned, computed once, and named in the record of the stage."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, util
from transformers import AutoTokenizer

from chinese_modernbert.modeling import ChineseModernBertForSequenceClassification
from chinese_modernbert.runtime.options import load_recipe
from chinese_modernbert.trainers.contrastive import distillation
from chinese_modernbert.trainers.contrastive.arguments import ContrastiveArguments
from chinese_modernbert.trainers.contrastive.distillation import with_teacher_scores
from chinese_modernbert.trainers.contrastive.kinds import kind_named
from chinese_modernbert.trainers.contrastive.run import run_contrastive
from chinese_modernbert.trainers.contrastive.trainer import build_loss
from reference.tiny_kinds import load_tiny, save_tiny, tiny_arguments

ROWS = {
    "anchor": ["首都在哪里", "天气好吗"],
    "positive": ["北京是首都", "今天天气很好"],
    "negative_1": ["今天天气很好", "北京是首都"],
    "negative_2": ["他喜欢读书", "会议在上海举行"],
}


def test_scores_are_the_logits_of_the_head(checkpoint: Path, tmp_path: Path) -> None:
    folder = save_tiny("reranker", checkpoint, tmp_path / "teacher")
    teacher = load_tiny("reranker", folder)
    found = with_teacher_scores({"x": Dataset.from_dict(ROWS)}, teacher, tmp_path / "scores.npz")["x"]
    assert found.column_names == [*ROWS, "scores"]
    model = ChineseModernBertForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for row in found:
        for text, score in zip([row[name] for name in list(ROWS)[1:]], row["scores"], strict=True):
            with torch.no_grad():
                expected = model(**tokenizer(row["anchor"], text, return_tensors="pt")).logits.item()
            assert score == pytest.approx(expected, abs=1e-5)


def test_scores_are_computed_once_for_the_same_rows_and_teacher(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    compute: Callable[..., np.ndarray] = distillation.teacher_scores
    monkeypatch.setattr(distillation, "teacher_scores", lambda *given: (asked.append(1), compute(*given))[1])
    teacher, file = load_tiny("reranker", checkpoint), tmp_path / "scores.npz"
    first = with_teacher_scores({"x": Dataset.from_dict(ROWS)}, teacher, file)["x"]["scores"]
    again = with_teacher_scores({"y": Dataset.from_dict(ROWS)}, load_tiny("reranker", checkpoint), file)["y"]["scores"]
    assert list(first) == list(again) and len(asked) == 1
    with torch.no_grad():
        teacher[0].model.classifier.bias += 1
    other = with_teacher_scores({"x": Dataset.from_dict(ROWS)}, teacher, file)["x"]["scores"]
    assert np.asarray(other) == pytest.approx(np.asarray(first) + 1, abs=1e-5) and len(asked) == 2
    with_teacher_scores({"x": Dataset.from_dict({**ROWS, "positive": ROWS["negative_1"]})}, teacher, file)
    assert len(asked) == 3


@pytest.mark.parametrize("kind", ["dense", "late_interaction"])
def test_the_loss_compares_differences_of_scores(kind: str, checkpoint: Path) -> None:
    model = load_tiny(kind, checkpoint)
    labels = torch.tensor([[3.0, 1.0, -2.0], [0.5, 0.0, 4.0]])
    texts = list(ROWS.values())
    if kind == "dense":
        vectors = [model.encode(column, convert_to_tensor=True) for column in texts]
        scores = [util.pairwise_cos_sim(vectors[0], other) / 0.05 for other in vectors[1:]]
        loss = build_loss(model, tiny_arguments(kind, checkpoint), [*ROWS, "scores"])
    else:
        queries = model.encode_query(texts[0])
        scores = [model.similarity_pairwise(queries, model.encode_document(column)) for column in texts[1:]]
        trainer: Any = kind_named(kind).trainer
        loss = trainer.build_loss(None, model, tiny_arguments(kind, checkpoint), [*ROWS, "scores"])
    margins = torch.stack([scores[0] - other for other in scores[1:]], dim=1)
    expected = ((margins - (labels[:, :1] - labels[:, 1:])) ** 2).mean()
    tasks = ["query", "document", "document", "document"]
    features = [model.preprocess(column, task=task) for column, task in zip(texts, tasks, strict=True)]
    assert loss(features, labels).item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.fixture
def settings(checkpoint: Path, tmp_path: Path) -> dict[str, Any]:
    """Settings of a stage that distills a reranker into a dense encoder."""
    rows = [
        {"anchor": f"{a}在哪里", "positive": f"哪里有{a}", "negative": f"{b}很大"}
        for a, b in zip("虎狮熊猫狗马牛羊", "狮熊猫狗马牛羊鸡", strict=True)
    ]
    held = [{"sentence1": f"{a}跑", "sentence2": "跑得快", "score": n % 2} for n, a in enumerate("虎狮熊猫狗马")]
    for name, lines in (("rows", rows), ("held", held)):
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    teacher = save_tiny("reranker", checkpoint, tmp_path / "teacher")
    stage = {"data": [str(tmp_path / "rows.jsonl")], "loss": "distillation", "teacher": str(teacher), "batch_size": 4}
    return {
        "model": str(checkpoint),
        "data": str(tmp_path),
        "stages": [stage],
        "evaluation": [str(tmp_path / "held.jsonl")],
        "output_dir": str(tmp_path / "run"),
        "bootstrap_resamples": 10,
        "baselines": False,
        "leakage_similarity": 1.0,
        "use_cpu": True,
        "max_steps": 2,
    }


def test_a_stage_of_another_teacher_is_not_taken_for_this_one(settings: dict[str, Any], checkpoint: Path) -> None:
    def arguments() -> ContrastiveArguments:
        return load_recipe([ContrastiveArguments], None, settings)[0]

    output = run_contrastive(arguments())
    assert isinstance(SentenceTransformer(str(output / "final")), SentenceTransformer)
    kept = (output / "stage-1-teacher.npz").stat().st_mtime_ns
    (output / "stage-1" / "scores.json").unlink()
    run_contrastive(arguments())
    assert (output / "stage-1-teacher.npz").stat().st_mtime_ns == kept
    teacher = Path(settings["stages"][0]["teacher"])
    model = ChineseModernBertForSequenceClassification.from_pretrained(teacher)
    with torch.no_grad():
        model.classifier.bias += 1
    model.save_pretrained(teacher)
    with pytest.raises(FileExistsError, match="trained with other settings: teacher was"):
        run_contrastive(arguments())


def test_rows_without_negatives_cannot_be_distilled(settings: dict[str, Any]) -> None:
    stages = [{**settings["stages"][0], "hard_negatives": 3}]
    with pytest.raises(ValueError, match="no rows with 3 negatives to distill; mined_negatives finds some"):
        run_contrastive(load_recipe([ContrastiveArguments], None, {**settings, "stages": stages})[0])
