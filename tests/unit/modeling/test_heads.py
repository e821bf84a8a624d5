"""Heads: shapes, pooling, losses, and the same gradient from four small batches as from one large one."""

from __future__ import annotations

import inspect
import json
from contextlib import suppress
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss
from transformers import Trainer, TrainingArguments
from transformers.loss.loss_utils import ForSequenceClassificationLoss
from transformers.utils import ModelOutput

from chinese_modernbert.modeling import (
    ChineseModernBertForMaskedLM,
    ChineseModernBertForMultipleChoice,
    ChineseModernBertForQuestionAnswering,
    ChineseModernBertForSequenceClassification,
    ChineseModernBertForTokenClassification,
    ChineseModernBertModel,
)
from chinese_modernbert.modeling.heads_chinese_modernbert import pool, real_tokens

HEADS = (
    ChineseModernBertForMaskedLM,
    ChineseModernBertForQuestionAnswering,
    ChineseModernBertForSequenceClassification,
    ChineseModernBertForTokenClassification,
    ChineseModernBertForMultipleChoice,
)


def batch(rows: int = 4, length: int = 12) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(2, length + 1, (rows, 1), generator=generator)
    lengths[0] = length
    return {
        "input_ids": torch.randint(5, 211, (rows, length), generator=generator),
        "attention_mask": (torch.arange(length) < lengths).long(),
    }


def test_mean_pooling_leaves_padding_out_and_cls_takes_the_first(tiny_config) -> None:
    hidden = torch.tensor([[[1.0], [3.0], [100.0]], [[5.0], [100.0], [100.0]]])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    assert pool(hidden, "mean", real_tokens(mask)).tolist() == [[2.0], [5.0]]
    assert pool(hidden, "mean").tolist() == hidden.mean(1).tolist()
    assert pool(hidden, "cls", real_tokens(mask)).tolist() == [[1.0], [5.0]]
    assert pool(hidden, "mean", real_tokens(torch.zeros(2, 3))).tolist() == [[0.0], [0.0]]


def test_pooling_knows_padding_from_document_ids_and_finds_the_first_token_behind_it() -> None:
    hidden = torch.tensor([[[100.0], [3.0], [5.0]], [[5.0], [7.0], [100.0]]])
    documents = torch.tensor([[-1, 0, 0], [0, 1, -1]])
    assert pool(hidden, "mean", real_tokens(document_ids=documents)).tolist() == [[4.0], [6.0]]
    assert pool(hidden, "cls", real_tokens(seq_idx=documents)).tolist() == [[3.0], [5.0]]
    assert pool(hidden, "cls", real_tokens(torch.tensor([[0, 1, 1], [1, 1, 0]]))).tolist() == [[3.0], [5.0]]
    both = real_tokens(torch.tensor([[1, 1, 0], [1, 1, 1]]), documents)
    assert pool(hidden, "mean", both).tolist() == [[3.0], [6.0]]


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_classifier_takes_padding_on_either_side_and_in_either_form(tiny_config, pooling: str) -> None:
    torch.manual_seed(0)
    model = ChineseModernBertForSequenceClassification(tiny_config(classifier_pooling=pooling)).eval()
    ids = torch.randint(5, 211, (1, 9))
    expected = model(input_ids=ids).logits
    padding = torch.zeros(1, 4, dtype=torch.int64)
    for parts in ((ids, padding), (padding, ids)):
        padded = torch.cat(parts, dim=1)
        kept = torch.cat([torch.ones_like(part) if part is ids else part for part in parts], dim=1)
        torch.testing.assert_close(model(input_ids=padded, attention_mask=kept).logits, expected)
        torch.testing.assert_close(model(input_ids=padded, document_ids=kept - 1).logits, expected)


@torch.no_grad()
def test_a_head_hands_attentions_on(tiny_config) -> None:
    for head in HEADS:
        model = head(tiny_config()).eval()
        inputs = {name: tensor.unsqueeze(1) if head is HEADS[-1] else tensor for name, tensor in batch().items()}
        assert len(model(**inputs, output_attentions=True).attentions) == model.config.num_hidden_layers


@torch.no_grad()
@pytest.mark.parametrize("head", HEADS)
def test_every_input_of_the_encoder_is_in_the_signature_of_a_head_and_acts(tiny_config, head: type) -> None:
    named = inspect.signature(head.forward).parameters
    assert set(inspect.signature(ChineseModernBertModel.forward).parameters) <= set(named)
    torch.manual_seed(0)
    model = head(tiny_config()).eval()
    ids = torch.randint(5, 211, (1, 24))
    shape = (1, 1, 24) if head is ChineseModernBertForMultipleChoice else (1, 24)
    expected = logits_of(model(input_ids=ids.view(shape)))
    documents = (torch.arange(24) // 9).view(shape)
    bounds = torch.tensor([0, 9, 18, 24], dtype=torch.int32)
    found = [
        logits_of(model(input_ids=ids.view(shape), **given))
        for given in (
            {"document_ids": documents},
            {"seq_idx": documents.int()},
            {"position_ids": torch.arange(24).remainder(9).view(shape)},
            {"cu_seq_lens_q": bounds, "cu_seq_lens_k": bounds, "max_length_q": 9, "max_length_k": 9},
        )
    ]
    for logits in found:
        torch.testing.assert_close(logits, found[0])
        assert (logits - expected).abs().max() > 1e-3
    assert (logits_of(model(input_ids=ids.view(shape), is_causal=True)) - expected).abs().max() > 1e-3


def logits_of(output: ModelOutput) -> torch.Tensor:
    """Return the logits of any head, of answers the starts'."""
    return output["start_logits" if "start_logits" in output else "logits"]


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_text_is_classified_alike_alone_and_in_a_padded_batch(tiny_config, pooling: str) -> None:
    model = ChineseModernBertForSequenceClassification(tiny_config(num_labels=3, classifier_pooling=pooling)).eval()
    inputs = batch()
    together = model(**inputs).logits
    for row in range(4):
        length = int(inputs["attention_mask"][row].sum())
        alone = model(input_ids=inputs["input_ids"][row : row + 1, :length]).logits
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("num_labels", "labels", "expected"),
    [
        (3, torch.tensor([0, 2, 1, 1]), lambda logits, labels: cross_entropy(logits, labels)),
        (3, torch.rand(4, 3).round(), lambda logits, labels: binary_cross_entropy_with_logits(logits, labels)),
        (1, torch.rand(4), lambda logits, labels: mse_loss(logits.squeeze(1), labels)),
    ],
    ids=["single_label", "multi_label", "regression"],
)
def test_the_loss_follows_the_kind_of_labels(tiny_config, num_labels: int, labels: torch.Tensor, expected) -> None:
    model = ChineseModernBertForSequenceClassification(tiny_config(num_labels=num_labels)).eval()
    output = model(**batch(), labels=labels)
    assert output.logits.shape == (4, num_labels)
    torch.testing.assert_close(output.loss, expected(output.logits, labels))


@pytest.mark.parametrize(
    ("num_labels", "labels"),
    [
        (3, torch.tensor([0, 2, 1, 1])),
        (3, torch.tensor([0, 2, 1, 1], dtype=torch.int32)),
        (3, torch.rand(4, 3).round()),
        (3, torch.rand(4, 3).round().half()),
        (1, torch.rand(4)),
        (1, torch.tensor([0, 2, 1, 1])),
    ],
    ids=["class", "int32", "several", "half", "number", "whole number"],
)
def test_the_kind_of_problem_is_saved_as_the_stock_head_saves_it(
    tiny_config, num_labels: int, labels, tmp_path
) -> None:
    model = ChineseModernBertForSequenceClassification(tiny_config(num_labels=num_labels)).eval()
    stock = SimpleNamespace(num_labels=num_labels, problem_type=None)
    with suppress(RuntimeError):  # labels that the stock loss names and then cannot take
        ForSequenceClassificationLoss(labels, torch.zeros(4, num_labels), stock)
    model(**batch(), labels=labels)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["problem_type"] == stock.problem_type is not None


def test_a_kind_of_problem_that_is_given_is_not_changed_by_labels(tiny_config) -> None:
    model = ChineseModernBertForSequenceClassification(tiny_config(num_labels=3, problem_type="regression")).eval()
    output = model(**batch(), labels=torch.tensor([[0, 1, 0]] * 4))
    assert model.config.problem_type == "regression"
    torch.testing.assert_close(output.loss, mse_loss(output.logits, torch.tensor([[0.0, 1.0, 0.0]] * 4)))


def test_token_labels_of_minus_100_do_not_count(tiny_config) -> None:
    model = ChineseModernBertForTokenClassification(tiny_config(num_labels=5)).eval()
    inputs = batch()
    labels = (inputs["input_ids"] % 5).masked_fill(inputs["attention_mask"] == 0, -100)
    output = model(**inputs, labels=labels)
    kept = labels != -100
    torch.testing.assert_close(output.loss, cross_entropy(output.logits[kept], labels[kept]))


def test_answers_never_lie_in_padding_and_cut_answers_are_ignored(tiny_config) -> None:
    model = ChineseModernBertForQuestionAnswering(tiny_config()).eval()
    inputs = batch()
    inputs["attention_mask"][1] = torch.tensor([1, 1] + [0] * 10)
    output = model(**inputs, start_positions=torch.tensor([1, 0, 99, 1]), end_positions=torch.tensor([3, 1, 99, 1]))
    assert output.start_logits[1].argmax() < 2
    starts = cross_entropy(output.start_logits[[0, 1, 3]], torch.tensor([1, 0, 1]))
    ends = cross_entropy(output.end_logits[[0, 1, 3]], torch.tensor([3, 1, 1]))
    torch.testing.assert_close(output.loss, (starts + ends) / 2)


def test_each_choice_is_scored_by_itself(tiny_config) -> None:
    model = ChineseModernBertForMultipleChoice(tiny_config()).eval()
    flat = batch(rows=6)
    inputs = {name: tensor.view(2, 3, -1) for name, tensor in flat.items()}
    output = model(**inputs, labels=torch.tensor([2, 0]))
    assert output.logits.shape == (2, 3)
    alone = model(**{name: tensor[1:2, 2:3] for name, tensor in inputs.items()}).logits
    torch.testing.assert_close(output.logits[1:2, 2:3], alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(output.loss, cross_entropy(output.logits, torch.tensor([2, 0])))


def test_a_training_batch_without_a_label_has_loss_zero_and_no_nan(tiny_config) -> None:
    model = ChineseModernBertForMaskedLM(tiny_config())
    inputs = batch()
    output = model.train()(**inputs, labels=torch.full_like(inputs["input_ids"], -100))
    assert output.loss.item() == 0.0
    assert output.logits.shape == (0, 211)
    output.loss.backward()


def rows_for(model_class: type) -> list[dict[str, object]]:
    """Return eight rows of unequal weight: masked-language rows differ in how many labels they have."""
    generator = torch.Generator().manual_seed(5)
    rows = []
    for index in range(8):
        ids = torch.randint(5, 211, (10,), generator=generator)
        row: dict[str, object] = {"input_ids": ids, "attention_mask": torch.ones(10, dtype=torch.long)}
        if model_class is ChineseModernBertForMaskedLM:
            row["labels"] = torch.where(torch.arange(10) <= index, ids, -100)
        elif model_class is ChineseModernBertForTokenClassification:
            row["labels"] = torch.where(torch.arange(10) <= index, ids % 2, -100)
        elif model_class is ChineseModernBertForQuestionAnswering:
            row |= {"start_positions": torch.tensor(index), "end_positions": torch.tensor(index + 1)}
        else:
            row["labels"] = torch.tensor(index % 2)
        if model_class is ChineseModernBertForMultipleChoice:
            row |= {name: torch.stack([row[name]] * 2) for name in ("input_ids", "attention_mask")}
            row["input_ids"][1, 3:5] = 9
        rows.append(row)
    return rows


@pytest.mark.parametrize(
    "model_class",
    [
        ChineseModernBertForMaskedLM,
        ChineseModernBertForSequenceClassification,
        ChineseModernBertForTokenClassification,
        ChineseModernBertForQuestionAnswering,
        ChineseModernBertForMultipleChoice,
    ],
)
def test_four_accumulated_batches_give_the_gradient_of_one(tiny_config, tmp_path, model_class: type) -> None:
    """ModernBERT's own classification heads fail this by a factor of four in Transformers 5."""
    norms = []
    for size, steps in ((8, 1), (2, 4)):
        torch.manual_seed(0)
        model = model_class(tiny_config())
        arguments = TrainingArguments(
            output_dir=str(tmp_path),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=steps,
            max_steps=1,
            max_grad_norm=1e9,
            logging_steps=1,
            report_to="none",
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
            seed=1,
        )
        trainer = Trainer(model=model, args=arguments, train_dataset=rows_for(model_class))
        trainer.train()
        norms.append(next(entry["grad_norm"] for entry in trainer.state.log_history if "grad_norm" in entry))
    assert float(norms[0]) > 0
    assert float(norms[1]) == pytest.approx(float(norms[0]), rel=1e-4)
