"""A model with a head of random weights, for tests that only need some answers."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from chinese_modernbert.evaluation.clue.tasks import Task
from chinese_modernbert.trainers.clue.models import build_model, save_model


def fine_tuned(checkpoint: str, folder: Path, kind: Any, labels: tuple[str, ...] = ()) -> str:
    """Save a model with a head of random weights, large enough that its answers differ."""
    torch.manual_seed(0)
    tags = ["O", *(f"{prefix}-{label}" for label in labels for prefix in "BI")]
    model = build_model(Task("own", kind, "fields", {}, ("text",), labels, 64, 8, 1, 1e-4), checkpoint, tags=tags)
    for name, value in model.named_parameters():
        if "classifier" in name or "qa_outputs" in name:
            torch.nn.init.normal_(value)
    save_model(model, AutoTokenizer.from_pretrained(checkpoint), folder)
    return str(folder)
