# Copyright 2026 The Chinese ModernBERT contributors. SPDX-License-Identifier: Apache-2.0
"""Correction of wrong characters in Chinese text: a masked language model that reads the text as it was written.

The three arms share all weights but the detector. `tagging` reads the text once and says at every character which one
belongs there and whether the written one is wrong. `soft_masked` reads it twice: the second time each character is as
much of a [MASK] as the first reading holds it for wrong (Soft-Masked BERT, arXiv 2005.07421, with one encoder for both
readings; the sum of input and output that the paper has is left out, so that nothing held for wrong is the plain
model). `relm` reads the text and behind it a [MASK] for every character, and writes the text anew (ReLM, arXiv
2308.08796).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.functional import linear as plain_linear
from transformers.modeling_outputs import MaskedLMOutput
from transformers.utils.generic import can_return_tuple

# For the imports marked F401 see the file of heads.
from .bands_chinese_modernbert import banded_attention  # noqa: F401
from .blanks_chinese_modernbert import BlankReader  # noqa: F401
from .buckets_chinese_modernbert import bucketed_attention  # noqa: F401
from .characters_chinese_modernbert import CharacterReader, CharacterText, cut_sentences
from .configuration_chinese_modernbert import ChineseModernBertConfig
from .cpu_kernels_chinese_modernbert import dense_attention  # noqa: F401
from .filling_chinese_modernbert import WordFiller  # noqa: F401
from .heads_chinese_modernbert import ChineseModernBertForMaskedLM
from .kernels_chinese_modernbert import attend  # noqa: F401
from .layers_chinese_modernbert import marked
from .layout_chinese_modernbert import TokenLayout  # noqa: F401
from .losses_chinese_modernbert import labelled_cross_entropy, mean_loss
from .modeling_chinese_modernbert import takes_encoder_inputs
from .products_chinese_modernbert import linear
from .residual_chinese_modernbert import center_residual  # noqa: F401
from .rotary_chinese_modernbert import RotaryTable  # noqa: F401
from .rows_chinese_modernbert import logits_at  # noqa: F401

TAGGING, SOFT_MASKED, RELM = "tagging", "soft_masked", "relm"
ARMS = (TAGGING, SOFT_MASKED, RELM)
# Tokens that are read at once, padding included: few enough for the cache of a CPU. Our default.
TOKENS_AT_ONCE = 4_096
IGNORED = -100


@dataclass(frozen=True)
class SpellingSettings:
    """What a configuration says about spelling, under `spelling`.

    Attributes:
        arm: `tagging`, `soft_masked` or `relm`, see the module
        threshold: a character is replaced where the replacement's probability is greater
        detection_weight: share of the detector in the loss; correction has the rest. Source: 1 - 0.8 of Soft-Masked
            BERT
        longest_sentence: characters that are read together at most; our default

    Raises:
        ValueError: For an unknown arm or a number out of range.
    """

    arm: str = TAGGING
    threshold: float = 0.5
    detection_weight: float = 0.2
    longest_sentence: int = 256

    def __post_init__(self) -> None:
        if self.arm not in ARMS:
            raise ValueError(f"arm={self.arm!r} is unknown; use one of {', '.join(ARMS)}")
        for name in ("threshold", "detection_weight"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 <= value <= 1:
                raise ValueError(f"{name}={value!r} must be a number from 0 to 1")
        if type(self.longest_sentence) is not int or self.longest_sentence < 1:
            raise ValueError(f"longest_sentence={self.longest_sentence!r} must be a whole number, 1 or more")

    @classmethod
    def of(cls, config: ChineseModernBertConfig) -> SpellingSettings:
        """Return the settings of a configuration; what it does not say has its default."""
        given = config.spelling or {}
        known = [one.name for one in fields(cls)]
        if not isinstance(given, dict) or not set(given) <= set(known):
            raise ValueError(f"spelling={given!r} must be a mapping with any of {', '.join(known)}")
        return cls(**given)


@dataclass(frozen=True)
class SpellingEdit:
    """One character that is to be replaced.

    Attributes:
        offset: where it stands in the text, in characters
        source: as it is written
        target: what it is to be
        probability: that of the target in its place, times that of the written one being wrong where the arm has a
            detector
    """

    offset: int
    source: str
    target: str
    probability: float


@dataclass(frozen=True)
class Correction:
    """A text with its edits made.

    Attributes:
        text: of as many characters as the text that was given
        edits: in the order of the text
    """

    text: str
    edits: tuple[SpellingEdit, ...]


@dataclass
class SpellingOutput(MaskedLMOutput):
    """`MaskedLMOutput` and, of the arms with a detector, its logits, `(batch, length)` or `(positions,)`."""

    detection_logits: torch.Tensor | None = None


class ChineseModernBertForSpellingCorrection(ChineseModernBertForMaskedLM):
    """Masked language model with a detector of wrong characters; `correct` takes text."""

    def __init__(self, config: ChineseModernBertConfig) -> None:
        super().__init__(config)
        settings = SpellingSettings.of(config)
        if settings.arm != RELM:
            self.detector = marked(nn.Linear(config.hidden_size, 1), "classifier")
        self.change_settings(**asdict(settings))
        self.post_init()

    def change_settings(self, **changed: Any) -> None:
        """Change settings, here and in the configuration, such as the threshold; raises as `SpellingSettings` does."""
        self.settings = SpellingSettings(**{**asdict(SpellingSettings.of(self.config)), **changed})
        setattr(self.config, "spelling", asdict(self.settings))  # noqa: B010, the class has none

    @can_return_tuple
    @takes_encoder_inputs
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        target_positions: torch.Tensor | None = None,
        is_error: torch.Tensor | None = None,
        candidate_ids: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: Any,
    ) -> SpellingOutput:
        """Say which character belongs at every place, and whether the one that stands there is wrong.

        Args:
            input_ids, attention_mask, position_ids, inputs_embeds, kwargs: as in `ChineseModernBertModel.forward`
            labels (`torch.Tensor` of the shape of the logits but their last dimension): ids of the right characters,
                `-100` where there is nothing to learn.
            target_positions (`torch.Tensor` of shape `(positions,)`): where characters may be wrong in the flattened
                `batch * length` tokens; logits exist there alone, and no other token is masked; default: everywhere
            is_error (`torch.Tensor` of the shape of `labels`): 1 where the character is wrong, `-100` where the
                detector has nothing to learn.
            candidate_ids (`torch.Tensor` of shape `(candidates,)`): the ids, rising, that logits are wanted of;
                default: the vocabulary
            num_items_in_batch: labels of the whole optimizer step; default: of this batch

        Returns:
            `SpellingOutput` with `logits` of shape `(batch, length, vocab_size)`, or `(positions, candidates)`.
        """
        described = {"attention_mask": attention_mask, "position_ids": position_ids, **kwargs}
        outputs = self.model(input_ids=input_ids, inputs_embeds=inputs_embeds, **described)
        detection = None if self.settings.arm == RELM else self.detector(outputs.last_hidden_state).squeeze(-1)
        if self.settings.arm == SOFT_MASKED and detection is not None:
            embedded = self.model.embeddings.tok_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
            softened = self._soft_masked(embedded, detection, target_positions)
            outputs = self.model(inputs_embeds=softened, **described)
        hidden_states = outputs.last_hidden_state
        if target_positions is not None:
            target_positions = target_positions.to(hidden_states.device)
            hidden_states = hidden_states.flatten(0, 1).index_select(0, target_positions)
            detection = None if detection is None else detection.flatten().index_select(0, target_positions)
        logits = self._decode(self.head(hidden_states), candidate_ids)
        loss = None
        if labels is not None:
            labels = labels if candidate_ids is None else _columns(labels, candidate_ids)
            loss = labelled_cross_entropy(logits, labels, num_items_in_batch, IGNORED, self.training)
            if is_error is not None and detection is not None:
                detected = _detection_loss(detection, is_error, self.training, num_items_in_batch)
                loss = torch.lerp(loss, detected.to(loss.dtype), self.settings.detection_weight)
        return SpellingOutput(
            loss=loss,
            logits=logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            detection_logits=detection,
        )

    def _soft_masked(
        self, embedded: torch.Tensor, detection: torch.Tensor, positions: torch.Tensor | None
    ) -> torch.Tensor:
        """Return embeddings that are [MASK]'s by the probability of being wrong, `(batch, length, hidden)`."""
        wrong = detection.float().sigmoid().flatten()
        if positions is not None:
            positions = positions.to(wrong.device)
            wrong = torch.zeros_like(wrong).index_copy(0, positions, wrong.index_select(0, positions))
        mask = self.model.embeddings.tok_embeddings.weight[self.config.mask_token_id]
        return torch.lerp(embedded, mask.to(embedded.dtype), wrong.view(*detection.shape, 1).to(embedded.dtype))

    def _decode(self, states: torch.Tensor, candidate_ids: torch.Tensor | None) -> torch.Tensor:
        """Return logits of the vocabulary, or of candidates alone."""
        if candidate_ids is None:
            return linear(self.decoder, states)
        ids = candidate_ids.to(states.device)
        bias = None if self.decoder.bias is None else self.decoder.bias.index_select(0, ids)
        return plain_linear(states, self.decoder.weight.index_select(0, ids), bias)

    def correct(
        self,
        texts: Sequence[str],
        tokenizer: Any,
        *,
        threshold: float | None = None,
        confusion: Mapping[str, Collection[str]] | None = None,
    ) -> list[Correction]:
        """Replace wrong characters; only Chinese characters are replaced, each by one other, so lengths stay.

        A text of any length is read by sentences. What is read of a tokenizer's vocabulary is kept with the tokenizer.

        Args:
            texts: texts as they are written
            tokenizer: the model's
            threshold: instead of the configuration's, 0 to 1
            confusion: by character those that it may be replaced by; a character that is not there stays; default: any

        Raises:
            ValueError: For a threshold out of range, or a model whose probabilities are not finite.
        """
        least = self.settings.threshold if threshold is None else SpellingSettings(threshold=threshold).threshold
        found = self.find_edits(texts, tokenizer, confusion=confusion)
        if any(edit.probability != edit.probability for edits in found for edit in edits):  # not a number
            raise ValueError(f"the model {self.name_or_path!r} gives probabilities that are not finite")
        corrections = []
        for text, edits in zip(texts, found, strict=True):
            kept = tuple(edit for edit in edits if edit.probability > least)
            written = list(text)
            for edit in kept:
                written[edit.offset] = edit.target
            corrections.append(Correction("".join(written), kept))
        return corrections

    @torch.no_grad()
    def find_edits(
        self,
        texts: Sequence[str],
        tokenizer: Any,
        *,
        confusion: Mapping[str, Collection[str]] | None = None,
        tokens_at_once: int = TOKENS_AT_ONCE,
    ) -> list[list[SpellingEdit]]:
        """Return, for each text, every place where another character is likelier than the written one.

        Args:
            texts, tokenizer, confusion: as of `correct`
            tokens_at_once: tokens of a batch, padding included
        """
        if isinstance(texts, str):
            raise TypeError("texts is one text; give a list of texts")
        reader = self._reader(tokenizer)
        sentences = [
            (number, start, read)
            for number, text in enumerate(texts)
            for start, end in cut_sentences(text, self.settings.longest_sentence)
            if (read := reader.read(text[start:end])).places
        ]
        was_training = self.training
        self.eval()
        edits: list[list[SpellingEdit]] = [[] for _ in texts]
        for batch in _batches(sentences, tokens_at_once):
            found = self._likelier([read for _, _, read in batch], reader, confusion)
            for (number, start, read), rows in zip(batch, found, strict=True):
                for place, column, probability in rows:
                    offset = start + read.offsets[place]
                    target = reader.characters[column]
                    edits[number].append(SpellingEdit(offset, texts[number][offset], target, probability))
        self.train(was_training)
        return [sorted(found, key=lambda edit: edit.offset) for found in edits]

    def _reader(self, tokenizer: Any) -> CharacterReader:
        """Return the reader of a tokenizer, made once."""
        known = self.__dict__.get("_known_reader")
        if known is None or known.tokenizer is not tokenizer:
            known = self.__dict__["_known_reader"] = CharacterReader(tokenizer)
        return known

    def _likelier(
        self, texts: Sequence[CharacterText], reader: CharacterReader, confusion: Mapping[str, Collection[str]] | None
    ) -> list[list[tuple[int, int, float]]]:
        """Return, for each text, number of the place, column and probability of what is likelier than it is written."""
        inputs = spelling_inputs(texts, self.settings.arm, self.config)
        inputs["candidate_ids"] = torch.tensor(reader.candidate_ids)
        outputs = self(**{name: value.to(self.device) for name, value in inputs.items()})
        shares = outputs.logits.float().softmax(dim=-1).cpu()
        written = torch.tensor([column for one in texts for column in one.columns])
        if confusion is not None:
            shares = shares * _allowed(reader, confusion, written)
        best, columns = shares.max(dim=-1)
        if outputs.detection_logits is not None:
            best = best * outputs.detection_logits.float().sigmoid().cpu()
        found, first = [], 0
        for one in texts:
            own = slice(first, first := first + len(one.columns))
            rows = zip(one.columns, columns[own].tolist(), best[own].tolist(), strict=True)
            found.append([(i, new, share) for i, (old, new, share) in enumerate(rows) if new != old])
        return found


def spelling_inputs(
    texts: Sequence[CharacterText],
    arm: str,
    config: ChineseModernBertConfig,
    masked: Sequence[Collection[int]] | None = None,
) -> dict[str, torch.Tensor]:
    """Return `input_ids`, `attention_mask` `(texts, length)` and `target_positions` `(places of all texts,)`.

    Args:
        texts: at least one with a place
        arm: of the model; `relm` has behind the text and a separator the text again, with [MASK] at its places
        config: names the special tokens
        masked: for each text the numbers of the places whose character is hidden where it is read; default: none
    """
    rows, places = [], []
    for number, text in enumerate(texts):
        ids = list(text.ids)
        for hidden in masked[number] if masked is not None else ():
            ids[text.places[hidden]] = config.mask_token_id
        row, first = [config.cls_token_id, *ids, config.sep_token_id], 1
        if arm == RELM:
            slots, first = list(text.ids), len(row)
            for place in text.places:
                slots[place] = config.mask_token_id
            row += [*slots, config.sep_token_id]
        rows.append(row)
        places.append([first + place for place in text.places])
    length = max(map(len, rows))
    ids = torch.full((len(rows), length), config.pad_token_id or 0)
    attention_mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
        attention_mask[number, : len(row)] = 1
    positions = [number * length + place for number, found in enumerate(places) for place in found]
    return {"input_ids": ids, "attention_mask": attention_mask, "target_positions": torch.tensor(positions)}


def _batches(
    sentences: Sequence[tuple[int, int, CharacterText]], tokens_at_once: int
) -> Iterator[list[tuple[int, int, CharacterText]]]:
    """Yield sentences of similar length, so many at once that they are not more tokens with their padding."""
    batch: list[tuple[int, int, CharacterText]] = []
    for one in sorted(sentences, key=lambda one: len(one[2].ids)):
        if batch and (len(batch) + 1) * len(one[2].ids) > tokens_at_once:
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


def _allowed(reader: CharacterReader, confusion: Mapping[str, Collection[str]], written: torch.Tensor) -> torch.Tensor:
    """Return which characters may stand in each place, boolean `(places, characters)`; the written one always may."""
    columns, rows = written.unique(return_inverse=True)
    allowed = torch.zeros(len(columns), len(reader.characters), dtype=torch.bool)
    for row, column in enumerate(columns.tolist()):
        character = reader.characters[column]
        known = [reader.columns[one] for one in confusion.get(character, ()) if one in reader.columns]
        allowed[row, [column, *known]] = True
    return allowed[rows]


def _columns(labels: torch.Tensor, candidate_ids: torch.Tensor) -> torch.Tensor:
    """Return labels as numbers of candidates; what is none of them is ignored."""
    candidate_ids = candidate_ids.to(labels.device)
    columns = torch.searchsorted(candidate_ids, labels).clamp(max=len(candidate_ids) - 1)
    return columns.where(candidate_ids[columns] == labels, IGNORED)


def _detection_loss(
    detection: torch.Tensor, is_error: torch.Tensor, training: bool, num_items_in_batch: torch.Tensor | int | None
) -> torch.Tensor:
    """Return the binary cross-entropy of the detector in float32, a mean as that of the correction is."""
    is_error = is_error.to(detection.device)
    kept = is_error != IGNORED
    summed = binary_cross_entropy_with_logits(detection[kept].float(), is_error[kept].float(), reduction="sum")
    return mean_loss(summed, kept.sum(), num_items_in_batch, training)
