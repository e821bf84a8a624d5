"""From examples of a task to batches, and from logits back to predictions; one class for each kind of task.

A feature is one tokenized row: `input_ids`, `attention_mask` (and `token_type_ids` where the tokenizer has them),
`labels` where the row has a gold label, and `example`, the number of the row it comes from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.special import expit, log_softmax, softmax
from transformers import PreTrainedTokenizerBase

from ...evaluation.clue.labels import Label
from ...evaluation.clue.readers import CHOICE_BLANK, Example
from ...evaluation.clue.tasks import Task
from ...tokenization.entities import Span

Feature = dict[str, Any]
UNLIMITED = 1 << 30


class Predictions:
    """Predictions of a model for a list of examples.

    Args:
        values: for each example a class or choice number, a list of label numbers, a number, an answer, or a list of
            entities in the metric's form
        gold_log_probability: float `[examples]`, log probability of the right class or choice (of the right labels or
            tokens, mean over them; of a number minus its absolute error); NaN where there is no gold label
        probabilities: for each example float `[classes]` or `[choices]`; empty for kinds that have none
    """

    def __init__(
        self, values: list[Any], gold_log_probability: np.ndarray, probabilities: Sequence[np.ndarray] = ()
    ) -> None:
        self.values, self.gold_log_probability, self.probabilities = values, gold_log_probability, probabilities


class TaskInputs(ABC):
    """Inputs of one kind of task.

    Args:
        tokenizer: fast tokenizer of the model
        task: the task
        max_length: longest input in tokens; 0: the task's, or the model's where that is shorter
        limit: longest input that the model takes

    Raises:
        ValueError: If the tokenizer has no offsets, or `max_length` is over `limit`.
    """

    extra_columns: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, task: Task, max_length: int = 0, limit: int = UNLIMITED
    ) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise ValueError(f"{type(tokenizer).__name__} is not a fast tokenizer, which {task.name} needs for offsets")
        if max_length > limit:
            raise ValueError(
                f"max_length={max_length} is over the {limit} tokens that the model takes; give {limit} or less"
            )
        self.tokenizer, self.task, self.max_length = tokenizer, task, max_length or min(task.max_length, limit)

    @abstractmethod
    def encode(self, examples: Sequence[Example]) -> list[Feature]:
        """Tokenize examples; an example may give several features."""

    @abstractmethod
    def decode(self, logits: np.ndarray, features: Sequence[Feature], examples: Sequence[Example]) -> Predictions:
        """Turn logits, one row a feature, padded to a common shape, into predictions, one an example."""

    def cut_numbers(self, examples: Sequence[Example]) -> set[int]:
        """Return which examples are longer than `max_length`, so that a part of them is not read."""
        rows = [(number, texts) for number, example in enumerate(examples) for texts in self.whole(example)]
        if not rows:
            return set()
        encoded = self.tokenize([texts for _, texts in rows], truncation=False, max_length=None, verbose=False)
        lengths = zip(rows, encoded["input_ids"], strict=True)
        return {number for (number, _), ids in lengths if len(ids) > self.max_length}

    def whole(self, example: Example) -> list[tuple[str, ...]]:
        """Return the texts of each tokenized row of an example, before anything is cut."""
        return [example.texts]

    def texts_read(self, example: Example) -> tuple[str, ...]:
        """Return the texts that `encode` tokenizes of an example."""
        return example.texts

    def collate(self, features: Sequence[Feature]) -> dict[str, torch.Tensor]:
        """Pad features to the longest; `labels` come first, since Trainer counts rows by the first tensor."""
        batch: dict[str, torch.Tensor] = {}
        if "labels" in features[0]:
            batch["labels"] = torch.tensor([feature["labels"] for feature in features])
        rows = [
            {name: feature[name] for name in self.tokenizer.model_input_names if name in feature}
            for feature in features
        ]
        return {**batch, **self.pad(rows)}

    def pad(self, rows: Sequence[Feature]) -> dict[str, torch.Tensor]:
        """Pad token columns to the longest row."""
        return dict(self.tokenizer.pad(list(rows), return_tensors="pt"))

    def tokenize(self, texts: Sequence[Sequence[str]], **options: Any) -> Any:
        """Tokenize rows of one or two texts, cut to `max_length`; of two texts the longer one is cut."""
        columns: list[Any] = [list(column) for column in zip(*texts, strict=True)]
        tokenizer: Any = self.tokenizer
        return tokenizer(*columns, **{"truncation": True, "max_length": self.max_length, **options})

    def rows(self, encoded: Any) -> list[Feature]:
        """Return tokenizer output as one dictionary per row."""
        names = [name for name in self.tokenizer.model_input_names if name in encoded]
        return [{name: encoded[name][i] for name in names} for i in range(len(encoded["input_ids"]))]


def gold_log_probabilities(logits: np.ndarray, labels: Sequence[Label | None]) -> np.ndarray:
    """Return float64 `[rows]`: log probability of each row's class, NaN where it is not given."""
    scores = log_softmax(logits.astype(np.float64), axis=-1)
    return np.array(
        [row[label] if isinstance(label, int) else np.nan for row, label in zip(scores, labels, strict=True)]
    )


class SequenceClassificationInputs(TaskInputs):
    """One or two texts, one label."""

    def encode(self, examples: Sequence[Example]) -> list[Feature]:
        """Tokenize; one feature an example."""
        features = self.rows(self.tokenize([example.texts for example in examples])) if examples else []
        for number, (feature, example) in enumerate(zip(features, examples, strict=True)):
            feature["example"] = number
            if example.label is not None:
                feature["labels"] = self.target(example.label)
        return features

    def target(self, label: Label) -> Any:
        """Return a label as the loss takes it."""
        return label

    def decode(self, logits: np.ndarray, features: Sequence[Feature], examples: Sequence[Example]) -> Predictions:
        """Take the most probable class."""
        gold = gold_log_probabilities(logits, [example.label for example in examples])
        values = [int(row.argmax()) for row in logits]
        return Predictions(values, gold, list(softmax(logits.astype(np.float64), axis=-1)))


class MultiLabelInputs(SequenceClassificationInputs):
    """One or two texts, any number of labels; those with a probability over one half are predicted."""

    def target(self, label: Label) -> list[float]:
        """Return 1.0 for each label that holds and 0.0 for the others."""
        held = set(label) if isinstance(label, tuple) else set()
        return [float(number in held) for number in range(len(self.task.labels))]

    def decode(self, logits: np.ndarray, features: Sequence[Feature], examples: Sequence[Example]) -> Predictions:
        """Take every label by itself."""
        scores = logits.astype(np.float64)
        gold = np.full(len(examples), np.nan)
        for row, example in enumerate(examples):
            if example.label is not None:
                signs = 2 * np.array(self.target(example.label)) - 1
                gold[row] = -np.logaddexp(0, -signs * scores[row]).mean()
        values = [np.flatnonzero(row > 0).tolist() for row in scores]
        return Predictions(values, gold, list(expit(scores)))


class RegressionInputs(SequenceClassificationInputs):
    """One or two texts, a number."""

    def target(self, label: Label) -> Any:
        """Return the number."""
        return float(label) if not isinstance(label, tuple) else label

    def decode(self, logits: np.ndarray, features: Sequence[Feature], examples: Sequence[Example]) -> Predictions:
        """Take the number as it is."""
        values = logits.astype(np.float64).reshape(-1)
        right = np.array([np.nan if example.label is None else example.label for example in examples], dtype=np.float64)
        return Predictions(values.tolist(), -np.abs(values - right))


class SpanInputs(SequenceClassificationInputs):
    """A text with two marked spans; the model gets the tokens of each as a mask (`first_span`, `second_span`).

    A text that is too long is cut around the spans, so that both are always inside.
    """

    def encode(self, examples: Sequence[Example]) -> list[Feature]:
        """Tokenize and mark the tokens that overlap each span.

        Raises:
            ValueError: If the two spans are too far apart for `max_length`, or a span has no token.
        """
        windows = [self._window(example) for example in examples]
        features = super().encode([window for window, _ in windows])
        for feature, (window, spans) in zip(features, windows, strict=True):
            offsets = self.tokenizer(
                window.texts[0], return_offsets_mapping=True, truncation=True, max_length=self.max_length
            )["offset_mapping"]
            for name, span in zip(("first_span", "second_span"), spans, strict=True):
                feature[name] = [int(start < span.end and end > span.start) for start, end in offsets]
                if not any(feature[name]):
                    raise ValueError(
                        f"{self.task.name} row {window.identity}: {window.texts[0][span.start : span.end]!r} has no "
                        f"token within max_length={self.max_length}; raise it"
                    )
        return features

    def texts_read(self, example: Example) -> tuple[str, ...]:
        """Return the window that holds the spans."""
        return self._window(example)[0].texts

    def _window(self, example: Example) -> tuple[Example, tuple[Span, ...]]:
        """Cut the text's beginning where its second half holds a span that truncation would lose."""
        text = example.texts[0]
        encoded = self.tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)["offset_mapping"]
        room = self.max_length - self.tokenizer.num_special_tokens_to_add()
        first, last = min(span.start for span in example.spans), max(span.end for span in example.spans)
        if len(encoded) <= room or encoded[room - 1][1] >= last:
            return example, example.spans
        inside = [i for i, (start, end) in enumerate(encoded) if start < last and end > first]
        spare = max(room - len(inside), 0) // 2
        cut = encoded[max(inside[0] - spare, 0)][0]
        spans = tuple(Span(span.start - cut, span.end - cut) for span in example.spans)
        return Example(example.identity, (text[cut:],), example.label, example.group, spans), spans

    def collate(self, features: Sequence[Feature]) -> dict[str, torch.Tensor]:
        """Pad the span masks as the tokens are padded."""
        batch = super().collate(features)
        batch.update(
            {name: pad_column(features, name, 0, batch["input_ids"]) for name in ("first_span", "second_span")}
        )
        return batch


class MultipleChoiceInputs(TaskInputs):
    """A question with any number of choices; a feature holds one tokenized row for every choice (`rows`).

    A batch is flat: the rows of all choices one after another, and `choice_counts` `(batch,)`. No row is made up to
    fill a question with fewer choices. Of a passage with a blank the window around the blank is taken.
    """

    def encode(self, examples: Sequence[Example]) -> list[Feature]:
        """Tokenize every choice of every question."""
        texts = [self._texts(example, choice, self.max_length) for example in examples for choice in example.choices]
        rows = self.rows(self.tokenize(texts)) if texts else []
        features, first = [], 0
        for number, example in enumerate(examples):
            feature: Feature = {"rows": rows[first : first + len(example.choices)], "example": number}
            first += len(example.choices)
            feature["input_ids"] = max((row["input_ids"] for row in feature["rows"]), key=len)  # for sorting by length
            if example.label is not None:
                feature["labels"] = example.label
            features.append(feature)
        return features

    def cut_numbers(self, examples: Sequence[Example]) -> set[int]:
        """Return also those of which the window around a blank leaves something out."""
        windowed = {
            number
            for number, one in enumerate(examples)
            if self.whole(one) != [self._texts(one, text, self.max_length) for text in one.choices]
        }
        return windowed | super().cut_numbers(examples)

    def whole(self, example: Example) -> list[tuple[str, ...]]:
        """Return the pair of texts of every choice."""
        return [self._texts(example, choice, UNLIMITED) for choice in example.choices]

    def _texts(self, example: Example, choice: str, room: int) -> tuple[str, str]:
        """Return the pair of texts that one choice is judged by: passage, then question and choice.

        Of a passage with a blank at most `room` characters are kept.
        """
        if len(example.texts) == 2:
            context, question = example.texts
            return context, f"{question}\n{choice}"
        before, after = example.texts[0].split(CHOICE_BLANK)
        mask = str(self.tokenizer.mask_token) * len(choice)
        # Half of the room on each side of the blank; a token is a character or more, so nothing near is lost.
        side = max((room - 2 * len(choice)) // 2, 1)
        return f"{before[-side:]}{mask}{after[:side]}", choice

    def collate(self, features: Sequence[Feature]) -> dict[str, torch.Tensor]:
        """Make one flat batch of all rows."""
        batch = {"labels": torch.tensor([feature["labels"] for feature in features])} if "labels" in features[0] else {}
        batch["choice_counts"] = torch.tensor([len(feature["rows"]) for feature in features])
        return {**batch, **self.pad([row for feature in features for row in feature["rows"]])}

    def decode(self, logits: np.ndarray, features: Sequence[Feature], examples: Sequence[Example]) -> Predictions:
        """Take the best choice; blanks of one row that share their choices take different ones, best in sum."""
        rows = [row[: len(example.choices)] for row, example in zip(logits, examples, strict=True)]
        gold = [
            gold_log_probabilities(row[None], [example.label])[0] for row, example in zip(rows, examples, strict=True)
        ]
        values = [int(row.argmax()) for row in rows]
        if self.task.reader == "chid":
            groups: dict[str, list[int]] = {}
            for number, example in enumerate(examples):
                groups.setdefault(example.group, []).append(number)
            for members in groups.values():
                if 1 < len(members) <= len(rows[members[0]]):
                    scores = log_softmax(np.stack([rows[number] for number in members]).astype(np.float64), axis=-1)
                    for blank, choice in zip(*linear_sum_assignment(-scores), strict=True):
                        values[members[blank]] = int(choice)
        return Predictions(values, np.array(gold), [softmax(row.astype(np.float64)) for row in rows])


def pad_column(features: Sequence[Feature], name: str, filler: int, like: torch.Tensor) -> torch.Tensor:
    """Return a column `(batch, length)` of the shape of `like`, padded at the end."""
    padded = torch.full(like.shape, filler, dtype=torch.long)
    for row, feature in zip(padded, features, strict=True):
        row[: len(feature[name])] = torch.tensor(feature[name])
    return padded
