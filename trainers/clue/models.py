"""A model with the right head for a task, from any encoder that AutoModel loads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from ...evaluation.clue.tasks import Kind, Task

# Importing this package registers our model with the Auto classes.
from ...modeling.loading import own_config
from ...tokenization.loading import save_tokenizer
from ..lora import merge_lora

HEAD_DROPOUT = 0.1
"""Dropout before the classifier of span pairs. Source: our default, that of BERT's heads."""
HEAD_FILE = "span_head.safetensors"
PROBLEM_TYPES: Mapping[str, str] = {
    "classification": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}
"""Kind of task -> `problem_type` of a saved model: by it a pipeline knows how logits become probabilities."""


class SpanPairClassifier(nn.Module):
    """Classify a pair of spans from the means of their tokens and the first token. Source: our default.

    Args:
        encoder: any encoder
        num_labels: classes
    """

    def __init__(self, encoder: PreTrainedModel, num_labels: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(HEAD_DROPOUT)
        self.classifier = nn.Linear(3 * encoder.config.hidden_size, num_labels)
        nn.init.normal_(self.classifier.weight, std=0.02)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, first_span: torch.Tensor, second_span: torch.Tensor, **inputs: Any) -> SequenceClassifierOutput:
        """Classify; `first_span`, `second_span` `(batch, length)`, 1 at a span's tokens; logits `(batch, classes)`."""
        hidden = self.encoder(**inputs).last_hidden_state
        pooled = [hidden[:, 0]]
        for span in (first_span, second_span):
            weight = span.to(hidden.dtype) / span.sum(dim=1, keepdim=True).clamp(min=1)
            pooled.append(torch.einsum("bl,blh->bh", weight, hidden))
        logits = self.classifier(self.dropout(torch.cat(pooled, dim=-1)))
        return SequenceClassifierOutput(logits=logits)  # pyright: ignore[reportArgumentType]


class ChoiceScorer(nn.Module):
    """Score choices with a sequence classifier of one output: the family's own pooling, any number of choices.

    Args:
        scorer: sequence classifier with one label, or a head of multiple choice
        has_choices: the scorer takes rows with a dimension of choices
    """

    def __init__(self, scorer: PreTrainedModel, has_choices: bool = False) -> None:
        super().__init__()
        self.scorer, self.has_choices = scorer, has_choices

    def forward(self, choice_counts: torch.Tensor, **inputs: Any) -> SequenceClassifierOutput:
        """Score; `inputs` `(choices of the batch, length)`, `choice_counts` `(batch,)`.

        Returns:
            Logits `(batch, most choices)`, the lowest number of their type where a question has fewer.
        """
        if self.has_choices:  # each row as a question of one choice
            inputs = {name: value.unsqueeze(1) for name, value in inputs.items()}
        scores = self.scorer(**inputs).logits.reshape(-1)
        counts = choice_counts.tolist()
        padded = nn.utils.rnn.pad_sequence(
            list(scores.split(counts)), batch_first=True, padding_value=torch.finfo(scores.dtype).min
        )
        return SequenceClassifierOutput(logits=padded)  # pyright: ignore[reportArgumentType]


def build_model(task: Task, name: str, trust_remote_code: bool = False, tags: Sequence[str] = ()) -> nn.Module:
    """Return the model of a task with float32 weights, its head drawn anew where the checkpoint has none.

    Args:
        task: its kind decides the head
        name: folder or Hub name
        trust_remote_code: allow the model's own code
        tags: tags of the tokens for entities
    """
    if task.kind == "spans":
        encoder = _load(AutoModel, name, trust_remote_code, **_without_pooler(name, trust_remote_code))
        return SpanPairClassifier(encoder, len(task.labels))
    if task.kind == "choice":
        return ChoiceScorer(_load(AutoModelForSequenceClassification, name, trust_remote_code, num_labels=1))
    if task.kind == "answer":
        return _load(AutoModelForQuestionAnswering, name, trust_remote_code)
    labels = list(tags if task.kind == "entities" else task.labels or [task.label_field])  # a number has one name
    family = AutoModelForTokenClassification if task.kind == "entities" else AutoModelForSequenceClassification
    return _load(
        family,
        name,
        trust_remote_code,
        num_labels=len(labels),
        problem_type=PROBLEM_TYPES.get(task.kind),
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )


def fine_tuned_model(name: str, kind: Kind, trust_remote_code: bool = False) -> nn.Module:
    """Return a model with the head that its folder holds.

    Args:
        name: folder or Hub name
        kind: kind of its task; choices may be scored by a head of multiple choice, or by a classifier of one output
        trust_remote_code: allow the model's own code
    """
    config = AutoConfig.from_pretrained(name, trust_remote_code=trust_remote_code)
    if kind == "choice":
        is_choice = any(one.endswith("ForMultipleChoice") for one in config.architectures or ())
        scorer = _load(
            AutoModelForMultipleChoice if is_choice else AutoModelForSequenceClassification, name, trust_remote_code
        )
        return ChoiceScorer(scorer, has_choices=is_choice)
    families = {"entities": AutoModelForTokenClassification, "answer": AutoModelForQuestionAnswering}
    return _load(families.get(kind, AutoModelForSequenceClassification), name, trust_remote_code)


def _load(family: Any, name: str, trust_remote_code: bool, **fields: Any) -> PreTrainedModel:
    """Return a model with float32 weights; one of ours by the classes of this package, without any trust."""
    config = own_config(name, **fields)
    if config is not None:
        return family.from_pretrained(name, config=config, trust_remote_code=False, dtype=torch.float32)
    return family.from_pretrained(name, trust_remote_code=trust_remote_code, dtype=torch.float32, **fields)


def length_limit(name: str, tokenizer: PreTrainedTokenizerBase, trust_remote_code: bool = False) -> int:
    """Return the longest input in tokens that a model and its tokenizer take."""
    config = AutoConfig.from_pretrained(name, trust_remote_code=trust_remote_code)
    positions = int(getattr(config, "max_position_embeddings", tokenizer.model_max_length))
    # RoBERTa counts positions from behind the padding id on.
    reserved = 2 if config.model_type in ("roberta", "xlm-roberta") else 0
    return min(int(tokenizer.model_max_length), positions - reserved)


def _without_pooler(name: str, trust_remote_code: bool) -> dict[str, bool]:
    """Return the option that leaves out BERT's pooler, which would get no gradient here."""
    kind = AutoConfig.from_pretrained(name, trust_remote_code=trust_remote_code).model_type
    return {"add_pooling_layer": False} if kind in ("bert", "roberta", "xlm-roberta") else {}


def encoder_of(model: nn.Module) -> PreTrainedModel:
    """Return the encoder within any model of `build_model`."""
    inner = model.encoder if isinstance(model, SpanPairClassifier) else model
    inner = inner.scorer if isinstance(inner, ChoiceScorer) else inner
    return getattr(inner, "base_model", inner)  # pyright: ignore[reportReturnType]


def save_model(model: nn.Module, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write the model for the Auto classes.

    A choice scorer is written as a sequence classifier of one label, a span-pair classifier as its encoder and
    `span_head.safetensors`.
    """
    if any("lora_" in name for name, _ in model.named_parameters()):
        merge_lora(model)
    inner = model.scorer if isinstance(model, ChoiceScorer) else model
    if isinstance(inner, SpanPairClassifier):
        inner.encoder.save_pretrained(folder)
        save_file(
            {name: value.contiguous() for name, value in inner.classifier.state_dict().items()}, folder / HEAD_FILE
        )
    else:
        inner.save_pretrained(folder)  # pyright: ignore[reportCallIssue]
    save_tokenizer(tokenizer, folder)


_LAYER = re.compile(r"\.layers?\.(\d+)\.")


def layer_depths(names: Sequence[str]) -> dict[str, int]:
    """Return how far each parameter lies under the head, in layers: heads 0, the last layer 1, embeddings the most.

    Args:
        names: names of parameters of any encoder whose layers are called `layer.N` or `layers.N`
    """
    numbers = {name: int(match[1]) for name in names if (match := _LAYER.search(f".{name}"))}
    last = max(numbers.values(), default=-1)
    depths = {}
    for name in names:
        is_embedding = "embedding" in name
        depths[name] = last + 2 if is_embedding else last + 1 - numbers[name] if name in numbers else 0
    return depths
