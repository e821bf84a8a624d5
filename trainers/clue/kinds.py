"""The inputs of each kind of task."""

from __future__ import annotations

from collections.abc import Mapping

from ...evaluation.clue.tasks import Kind
from .inputs import (
    MultiLabelInputs,
    MultipleChoiceInputs,
    RegressionInputs,
    SequenceClassificationInputs,
    SpanInputs,
    TaskInputs,
)
from .span_inputs import QuestionAnsweringInputs, TokenClassificationInputs

INPUTS: Mapping[Kind, type[TaskInputs]] = {
    "classification": SequenceClassificationInputs,
    "multi_label": MultiLabelInputs,
    "regression": RegressionInputs,
    "spans": SpanInputs,
    "choice": MultipleChoiceInputs,
    "answer": QuestionAnsweringInputs,
    "entities": TokenClassificationInputs,
}
