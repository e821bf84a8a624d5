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
    if trainer.inputs.task.kind not in ("classification", "spans"):
        return []
    order = np.argsort(trainer.predict_examples(examples).gold_log_probability)[:count]
    return [explain(trainer, examples[i]) for i in order]


@torch.no_grad()
def explain(trainer: ClueTrainer, example: Example) -> dict[str, Any]:
    """Return the weights of one example's tokens; see `explain_hardest`."""
    inputs, model = trainer.inputs, trainer.model
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"the trainer's model is {type(model).__name__}, expected a module")
    model.eval()
    feature = {name: value for name, value in inputs.encode([example])[0].items() if name != "labels"}
    ids = feature["input_ids"]
    special = set(inputs.tokenizer.all_special_ids)
    positions = [i for i, token in enumerate(ids) if token not in special]
    rows = [feature]
    for position in positions:
        rows.append({**feature, "input_ids": [*ids[:position], inputs.tokenizer.mask_token_id, *ids[position + 1 :]]})
    logits = []
    for first in range(0, len(rows), ROWS_OF_A_BATCH):
        batch = inputs.collate(rows[first : first + ROWS_OF_A_BATCH])
        logits.append(
            model(**{name: value.to(trainer.args.device) for name, value in batch.items()}).logits.float().cpu()
        )
    scores = log_softmax(torch.cat(logits).numpy().astype(np.float64), axis=-1)
    predicted = int(scores[0].argmax())
    weights = scores[0, predicted] - scores[1:, predicted]
    texts = [str(inputs.tokenizer.decode([ids[position]])) for position in positions]
    labels = inputs.task.labels
    return {
        "id": example.identity,
        "predicted": labels[predicted],
        "gold": labels[example.label] if isinstance(example.label, int) else None,
        "tokens": [(text, round(float(weight), 4)) for text, weight in zip(texts, weights, strict=True)],
    }
