"""The models in Transformers' own Trainer, as its examples use it: columns, collators and metrics that are stock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import DataCollatorWithFlattening, EvalPrediction, Trainer, TrainingArguments, default_data_collator

from chinese_modernbert.modeling import (
    ChineseModernBertConfig,
    ChineseModernBertForMaskedLM,
    ChineseModernBertForTokenClassification,
)

MakeConfig = Callable[..., ChineseModernBertConfig]
Rows = list[dict[str, Any]]


def evaluate(
    model: torch.nn.Module,
    rows: Rows,
    folder: Path,
    collator: Any = default_data_collator,
    metrics: Callable[[EvalPrediction], dict[str, float]] | None = None,
    batch_size: int = 4,
) -> dict[str, float]:
    """Return what `Trainer.evaluate` says, with every setting that matters here at its default."""
    arguments = TrainingArguments(
        output_dir=str(folder), per_device_eval_batch_size=batch_size, report_to="none", use_cpu=True
    )
    trainer = Trainer(model, arguments, eval_dataset=rows, data_collator=collator, compute_metrics=metrics)  # type: ignore[arg-type]
    return trainer.evaluate()


def masked_rows(labelled: Sequence[int], length: int = 16) -> Rows:
    """Return a row for each count of labels that it shall have."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 200, (len(labelled), length), generator=generator)
    labels = torch.where(torch.arange(length) < torch.tensor(labelled).unsqueeze(1), ids, -100)
    return [{"input_ids": row, "labels": own} for row, own in zip(ids.tolist(), labels.tolist(), strict=True)]


def loss_alone(model: torch.nn.Module, rows: Rows) -> float:
    """Return the mean loss of some rows, computed from full logits by torch."""
    ids, labels = (torch.tensor([row[name] for row in rows]) for name in ("input_ids", "labels"))
    with torch.no_grad():
        return float(cross_entropy(model(input_ids=ids).logits.flatten(0, 1), labels.flatten()))


def test_a_column_of_document_ids_reaches_the_model(tiny_config: MakeConfig, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = ChineseModernBertForTokenClassification(tiny_config(num_labels=5)).eval()
    rows = masked_rows([16] * 4)
    documents = [0] * 7 + [1] * 6 + [-1] * 3
    for row in rows:
        row |= {"document_ids": documents, "labels": [id % 5 for id in row["input_ids"][:13]] + [-100] * 3}
    with torch.no_grad():
        logits = [
            model(input_ids=torch.tensor([row["input_ids"][part]])).logits[0]
            for row in rows
            for part in (slice(0, 7), slice(7, 13))
        ]
    labels = torch.tensor([row["labels"][:13] for row in rows]).flatten()
    expected = float(cross_entropy(torch.cat(logits), labels))
    assert evaluate(model, rows, tmp_path)["eval_loss"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("options", [{}, {"return_position_ids": False}, {"return_flash_attn_kwargs": True}])
def test_rows_that_transformers_flattens_do_not_see_each_other(
    tiny_config: MakeConfig, tmp_path: Path, options: dict[str, bool]
) -> None:
    torch.manual_seed(0)
    model = ChineseModernBertForMaskedLM(tiny_config()).eval()
    rows = masked_rows([0, 5, 9, 14])
    for row in rows:  # the first label of a row is not one for this collator
        row["labels"] = [-100, *row["labels"][1:]]
    with torch.no_grad():
        logits = torch.cat([model(input_ids=torch.tensor([row["input_ids"]])).logits[0] for row in rows])
    expected = float(cross_entropy(logits, torch.tensor([row["labels"] for row in rows]).flatten()))
    collator = DataCollatorWithFlattening(return_seq_idx=True, **options)
    assert evaluate(model, rows, tmp_path, collator)["eval_loss"] == pytest.approx(expected, abs=1e-5)


def test_a_metric_of_masked_language_modeling_gets_a_row_of_logits_for_each_row(
    tiny_config: MakeConfig, tmp_path: Path
) -> None:
    """As `run_mlm` computes it; the last batch is short, so that rows which are none would be cut."""
    torch.manual_seed(0)
    model = ChineseModernBertForMaskedLM(tiny_config()).eval()
    rows = masked_rows([3, 1, 4, 1, 5, 9, 2, 6, 5])

    def accuracy(prediction: EvalPrediction) -> dict[str, float]:
        labels, guesses = np.asarray(prediction.label_ids), np.asarray(prediction.predictions).argmax(-1)
        kept = labels != -100
        return {"accuracy": float((labels[kept] == guesses[kept]).mean()), "labels": float(kept.sum())}

    found = evaluate(model, rows, tmp_path, metrics=accuracy)
    ids, labels = (torch.tensor([row[name] for row in rows]) for name in ("input_ids", "labels"))
    with torch.no_grad():
        guesses = model(input_ids=ids).logits.argmax(-1)
    assert found["eval_labels"] == 36
    assert found["eval_accuracy"] == pytest.approx(float((guesses == labels)[labels != -100].float().mean()))


def test_an_evaluation_batch_in_which_nothing_is_masked_does_not_count(tiny_config: MakeConfig, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = ChineseModernBertForMaskedLM(tiny_config()).eval()
    rows = masked_rows([0] * 12 + [3, 5, 1, 7])
    found = evaluate(model, rows, tmp_path)["eval_loss"]
    # Versions of Transformers that average NaN too say NaN, but none says a number that is too low.
    assert np.isnan(found) or found == pytest.approx(loss_alone(model, rows[12:]), abs=1e-5)
