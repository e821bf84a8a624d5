"""Inputs whose labels are offsets in the text: extracted answers and entities. Offsets count characters throughout."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from scipy.special import log_softmax
from transformers import PreTrainedTokenizerBase

from ...evaluation.clue.readers import Example
from ...evaluation.clue.scores import entity_key
from ...evaluation.clue.tasks import Task
from ...runtime.token_rows import IGNORED_LABEL
from ...tokenization.entities import EntityTagging
from .inputs import UNLIMITED, Feature, Predictions, TaskInputs, pad_column

logger = logging.getLogger(__name__)

# Tokens that a window repeats of the one before. Source: the official CMRC 2018 baseline.
WINDOW_STRIDE = 128
# Starts and ends of a window that are combined. Source: BERT's SQuAD script.
N_BEST = 20
# Longest answer in characters. Our default: 99.9 % of CMRC's training answers are shorter.
MAX_ANSWER_CHARACTERS = 150
# Longest question in tokens; the rest of a longer one is cut. Source: BERT's SQuAD script.
MAX_QUESTION_TOKENS = 64


class QuestionAnsweringInputs(TaskInputs):
    """A question and a passage, cut into windows that overlap; the answer is a stretch of the passage.

    `labels` are the first and the last token of the answer, both 0 in a window that does not hold it whole.
    """

    def encode(self, examples: Sequence[Example]) -> list[Feature]:
        """Tokenize into windows; a feature keeps the offsets of its passage tokens.

        The first accepted answer that is in the passage is learned.
        """
        if not examples:
            return []
        questions = [self._shortened(example.texts[0]) for example in examples]
        encoded = self.tokenizer(
            questions,
            [example.texts[1] for example in examples],
            truncation="only_second",
            max_length=self.max_length,
            stride=min(WINDOW_STRIDE, self.max_length // 4),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        features = self.rows(encoded)
        for i, feature in enumerate(features):
            number = feature["example"] = int(encoded["overflow_to_sample_mapping"][i])
            is_passage = [part == 1 for part in encoded.sequence_ids(i)]
            offsets = zip(encoded["offset_mapping"][i], is_passage, strict=True)
            feature["offsets"] = [(start, end) if inside else None for (start, end), inside in offsets]
            if examples[number].answers:
                feature["labels"] = _answer_tokens(feature["offsets"], examples[number])
        return features

    def cut_numbers(self, examples: Sequence[Example]) -> set[int]:
        """Return which questions are cut; a passage is read whole, window by window."""
        questions = [example.texts[0] for example in examples]
        return {number for number, question in enumerate(questions) if self._shortened(question) != question}

    def _shortened(self, question: str) -> str:
        """Cut a question that would leave no room for the passage."""
        limit = min(MAX_QUESTION_TOKENS, self.max_length // 3)
        offsets = self.tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return question if len(offsets) <= limit else question[: offsets[limit - 1][1]]

    def decode(self, logits: np.ndarray, features: Sequence[Feature], examples: Sequence[Example]) -> Predictions:
        """Take the stretch with the highest sum of start and end logit over all windows of a passage."""
        best: dict[int, tuple[float, int, int]] = {}
        gold = np.full((len(examples), 2), np.nan)
        for row, feature in zip(logits, features, strict=True):
            number, length = feature["example"], len(feature["offsets"])
            scores = row[:length].astype(np.float64)
            found = _best_stretch(scores, feature["offsets"])
            if found is not None and (number not in best or found > best[number]):
                best[number] = found
            if feature.get("labels", [0, 0]) != [0, 0] and np.isnan(gold[number, 0]):
                logs = log_softmax(scores, axis=0)
                gold[number] = logs[feature["labels"][0], 0], logs[feature["labels"][1], 1]
        texts = []
        for number, example in enumerate(examples):
            _, start, end = best.get(number, (0.0, 0, 0))
            texts.append(example.texts[1][start:end])
        return Predictions(texts, gold.mean(axis=1))


def _answer_tokens(offsets: Sequence[tuple[int, int] | None], example: Example) -> list[int]:
    """Return the first and last token that overlap the answer, [0, 0] where the window does not hold all of it."""
    known = [(text, start) for text, start in example.answers if start >= 0]
    if not known:
        return [0, 0]
    text, first = known[0]
    last = first + len(text)
    inside = [i for i, span in enumerate(offsets) if span is not None and span[0] < last and span[1] > first]
    if not inside:
        return [0, 0]
    start, end = offsets[inside[0]], offsets[inside[-1]]
    is_whole = start is not None and end is not None and start[0] <= first and end[1] >= last
    return [inside[0], inside[-1]] if is_whole else [0, 0]


def _best_stretch(scores: np.ndarray, offsets: Sequence[tuple[int, int] | None]) -> tuple[float, int, int] | None:
    """Return (score, first character, end) of a window's best stretch of the passage, None without a passage."""
    passage = np.array([i for i, span in enumerate(offsets) if span is not None and span[1] > span[0]], dtype=int)
    if not passage.size:
        return None
    starts, ends = (passage[np.argsort(-scores[passage, side])[:N_BEST]] for side in (0, 1))
    found = []
    for start in starts:
        for end in ends:
            first, last = offsets[start], offsets[end]
            if first and last and start <= end and last[1] - first[0] <= MAX_ANSWER_CHARACTERS:
                found.append((float(scores[start, 0] + scores[end, 1]), first[0], last[1]))
    if found:
        return max(found)
    single = offsets[starts[0]]
    return (float(scores[starts[0]].sum()), *single) if single else None


class TokenClassificationInputs(TaskInputs):
    """A text with entities as tags of its tokens, see `EntityTagging`; every Han character is a token.

    Where an entity begins or ends within a Latin word or a number, its exact borders cannot be predicted; `encode` logs
    how many.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, task: Task, max_length: int = 0, limit: int = UNLIMITED
    ) -> None:
        super().__init__(tokenizer, task, max_length, limit)
        self.tagging = EntityTagging(tokenizer, task.labels)  # pyright: ignore[reportArgumentType]
        self.tokenizer = self.tagging.tokenizer

    def encode(self, examples: Sequence[Example]) -> list[Feature]:
        """Tokenize and tag; a feature keeps its offsets."""
        if not examples:
            return []
        encoded = self.tokenize([example.texts for example in examples], return_offsets_mapping=True)
        features = self.rows(encoded)
        entities = lost = 0
        for number, (feature, example) in enumerate(zip(features, examples, strict=True)):
            feature["example"] = number
            feature["offsets"] = encoded["offset_mapping"][number]
            if example.entities is not None:
                feature["labels"] = self.tagging.labels(feature["offsets"], example.entities)
                kept = self.tagging.spans(feature["offsets"], feature["labels"])
                entities, lost = entities + len(example.entities), lost + len({*example.entities} - {*kept})
        if lost:
            logger.info(
                "%s: %d of %d entities have a border within a token or are cut off", self.task.name, lost, entities
            )
        return features

    def collate(self, features: Sequence[Feature]) -> dict[str, torch.Tensor]:
        """Pad the tags as the tokens are padded."""
        batch = super().collate([{name: feature[name] for name in feature if name != "labels"} for feature in features])
        if "labels" in features[0]:
            batch = {"labels": pad_column(features, "labels", IGNORED_LABEL, batch["input_ids"]), **batch}
        return batch

    def decode(self, logits: np.ndarray, features: Sequence[Feature], examples: Sequence[Example]) -> Predictions:
        """Take the most probable tag of each token and read entities off the tags."""
        values, gold = [], np.full(len(examples), np.nan)
        for i, (row, feature) in enumerate(zip(logits, features, strict=True)):
            scores = row[: len(feature["offsets"])].astype(np.float64)
            spans = self.tagging.spans(feature["offsets"], scores.argmax(axis=-1).tolist())
            values.append([entity_key(span) for span in spans])
            if "labels" in feature:
                labels = np.array(feature["labels"])
                kept = np.flatnonzero(labels != IGNORED_LABEL)
                gold[i] = log_softmax(scores, axis=-1)[kept, labels[kept]].mean() if kept.size else 0.0
        return Predictions(values, gold)
