"""Tiny models for search of every kind, around a checkpoint with random weights."""

from pathlib import Path
from typing import Any

import torch

from chinese_modernbert.runtime.options import load_recipe
from chinese_modernbert.trainers.contrastive.arguments import RetrievalArguments
from chinese_modernbert.trainers.contrastive.kinds import kind_named


def tiny_arguments(kind: str, checkpoint: Path, **changes: Any) -> RetrievalArguments:
    """Return arguments of `retrieval` for a model of a kind."""
    settings = {"kind": kind, "model": str(checkpoint), "data": "", "use_cpu": True, "report_to": "none"}
    return load_recipe([RetrievalArguments], None, {**settings, **changes})[0]


def load_tiny(kind: str, checkpoint: Path, **changes: Any) -> Any:
    """Return a model of a kind, in evaluation mode; what is new in it has fixed random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind_named(kind).load(checkpoint, tiny_arguments(kind, checkpoint, **changes)).eval()


def save_tiny(kind: str, checkpoint: Path, folder: Path, **changes: Any) -> Path:
    """Write a model of a kind and return its folder."""
    kind_named(kind).save(load_tiny(kind, checkpoint, **changes), folder)
    return folder
