"""Which tokens a decision rests on: each is masked alone, and the loss of log probability is its weight.

A model that never saw [MASK] in fine-tuning may react to the mask itself rather than to the missing word; train with
`masked_fine_tuning` for weights that mean something. Source: Faithfulness Measurable Masked Language Models
(arXiv 2310.07819) for the training, leave-one-out for the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.special import log_softmax

from ...evaluation.clue.readers import Example
from .arguments import EXPLAINED_KINDS
from .forward import logits_of
from .inputs import TaskInputs

if TYPE_CHECKING:
    from .trainer import ClueTrainer

ROWS_OF_A_BATCH = 64


def explain_hardest(trainer: ClueTrainer, examples: Sequence[Example], count: int) -> list[dict[str, Any]]:
    """Explain the examples whose right label has the lowest probability.

    Args:
        trainer: a trained run
        examples: labelled examples
        count: how many to explain

    Returns:
        For each: `id`, `predicted`, `gold`, and `tokens` as (text, weight); a weight over 0 supports the predicted
        label. Empty for kinds without one label per text.
    """
    if trainer.inputs.task.kind not in EXPLAINED_KINDS:
        return []
    order = np.argsort(trainer.predict_examples(examples).gold_log_probability)[:count]
    return [explain(trainer, examples[i]) for i in order]


def explain(trainer: ClueTrainer, example: Example) -> dict[str, Any]:
    """Return the weights of one example's tokens; see `explain_hardest`. The tokens of one character count as one."""
    inputs, model = trainer.inputs, trainer.model
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"the trainer's model is {type(model).__name__}, expected a module")
    (feature,) = inputs.encode([example])
    ids, mask = feature["input_ids"], inputs.tokenizer.mask_token_id
    units = _units(inputs, example)
    rows = [
        feature,
        *({**feature, "input_ids": [mask if i in at else one for i, one in enumerate(ids)]} for _, at in units),
    ]
    scores = log_softmax(logits_of(model, inputs, rows, ROWS_OF_A_BATCH).astype(np.float64), axis=-1)
    predicted = int(scores[0].argmax())
    weights = scores[0, predicted] - scores[1:, predicted]
    labels = inputs.task.labels
    return {
        "id": example.identity,
        "predicted": labels[predicted],
        "gold": labels[example.label] if isinstance(example.label, int) else None,
        "tokens": [(text, round(float(weight), 4)) for (text, _), weight in zip(units, weights, strict=True)],
    }


def _units(inputs: TaskInputs, example: Example) -> list[tuple[str, set[int]]]:
    """Return the text and the positions of each token; a character that is spelled in bytes is one unit."""
    texts = inputs.texts_read(example)
    encoded = inputs.tokenize([texts], return_offsets_mapping=True)
    units: list[tuple[str, set[int]]] = []
    last = (-1, 0)  # of which text, and up to which character
    for position, (part, (start, end)) in enumerate(
        zip(encoded.sequence_ids(0), encoded["offset_mapping"][0], strict=True)
    ):
        if part is None or start == end:
            continue
        if part == last[0] and start < last[1]:
            units[-1][1].add(position)
        else:
            units.append((texts[part][start:end], {position}))
        last = (part, max(end, last[1] if part == last[0] else 0))
    return units
