"""Metrics as modules of `evaluate`, loaded from this folder: `evaluate.load(CLUE_METRICS, "answers")`."""

from pathlib import Path

CLUE_METRICS = str(Path(__file__).parent / "clue_metrics.py")
