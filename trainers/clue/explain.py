"""Which words a decision rests on, for models of this room; how is told in `evaluation/explanations`.

A model that never saw [MASK] in fine-tuning may react to the mask itself rather than to the missing word; train with
`masked_fine_tuning` for weights that mean something. Source: Faithfulness Measurable Masked Language Models
(arXiv 2310.07819).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...evaluation.clue.readers import Example
from ...evaluation.explanations.importance import leave_one_out
from ...evaluation.explanations.masked_texts import MaskedTexts
from ...evaluation.explanations.units import WordUnit, word_units
from ...tokenization.word_segmentation import WordSegmenter, load_segmenter
from .arguments import EXPLAINED_KINDS
from .forward import logits_of
from .inputs import Feature, TaskInputs

if TYPE_CHECKING:
    from .trainer import ClueTrainer

ROWS_OF_A_BATCH = 64


def explain_hardest(trainer: ClueTrainer, examples: Sequence[Example], count: int) -> list[dict[str, Any]]:
    """Explain the examples whose right label has the lowest probability, by masking each token alone.

    The tokens of one character count as one, and so do those of one Latin word.

    Args:
        trainer: a trained run
        examples: labelled examples
        count: how many to explain

    Returns:
        For each: `id`, `predicted`, `gold`, and `tokens` as (text, weight); a weight over 0 supports the predicted
        label. Empty for kinds without one label per text.
    """
    inputs, model = trainer.inputs, trainer.model
    if inputs.task.kind not in EXPLAINED_KINDS:
        return []
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"the trainer's model is {type(model).__name__}, expected a module")
    order = np.argsort(trainer.predict_examples(examples).gold_log_probability)[:count]
    chosen, labels = [examples[i] for i in order], inputs.task.labels
    texts = masked_texts(model, inputs, chosen, inputs.encode(chosen), load_segmenter("none"))
    return [
        {
            "id": example.identity,
            "predicted": labels[predicted],
            "gold": labels[example.label] if isinstance(example.label, int) else None,
            "tokens": [(unit.text, round(float(one), 4)) for unit, one in zip(units, own, strict=True)],
        }
        for example, predicted, units, own in zip(chosen, texts.targets, texts.units, leave_one_out(texts), strict=True)
    ]


def masked_texts(
    model: torch.nn.Module,
    inputs: TaskInputs,
    examples: Sequence[Example],
    features: Sequence[Feature],
    segmenter: WordSegmenter,
    batch_size: int = ROWS_OF_A_BATCH,
    target: int | None = None,
) -> MaskedTexts:
    """Return examples as texts whose words can be masked.

    Args:
        model: the fine-tuned model
        inputs: inputs of its task, one row for each example
        examples: the examples
        features: what `inputs.encode` gave of them
        segmenter: cuts the words
        batch_size: masked rows at once
        target: number of the label to explain; None: the one that the model gives

    Raises:
        ValueError: If the tokenizer has no mask token, or the task is of a kind without one decision for a text.
    """
    kind, mask = inputs.task.kind, inputs.tokenizer.mask_token_id
    if kind not in ("classification", "spans", "multi_label", "regression"):
        raise ValueError(f"{inputs.task.name} answers with {kind}; explain takes classifiers and scorers of texts")
    if not isinstance(mask, int):
        raise ValueError(f"the tokenizer of {inputs.task.name} has no mask token; explain masks words with it")

    def score(rows: Sequence[Feature]) -> np.ndarray:
        return logits_of(model, inputs, rows, batch_size)

    return MaskedTexts(features, words_of(inputs, examples, segmenter), mask, score, kind, target)


def words_of(inputs: TaskInputs, examples: Sequence[Example], segmenter: WordSegmenter) -> list[list[WordUnit]]:
    """Return the words of each example's row."""
    read = [inputs.texts_read(example) for example in examples]
    if not read:
        return []
    encoded = inputs.tokenize(read, return_offsets_mapping=True)
    return [
        word_units(texts, encoded["offset_mapping"][i], encoded.sequence_ids(i), segmenter)
        for i, texts in enumerate(read)
    ]
