"""The command `spell evaluate`: correctors on pairs of sentences, side by side."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...runtime.options import argument

logger = logging.getLogger(__name__)


@dataclass
class SpellEvaluateArguments:
    """Which correctors to score, and on which pairs."""

    models: list[str] = argument(list, "Folders of correctors; may stand first.", group="Models and data")
    data: list[str] = argument(list, "Files of pairs, JSON lines of source and target; may end in .gz.", names=True)
    unequal: Literal["refuse", "skip"] = argument("refuse", "What becomes of pairs of unequal length.")
    confusion: list[str] = argument(list, "Files of confusion sets; nothing else is corrected then.", names=True)
    threshold: float | None = argument(None, "Least probability of an edit; null: each model's own.", within="[0, 1]")

    output_dir: str = argument("spell-evaluate", "Folder of the report.", group="Output")
    overwrite: bool = argument(False, "Replace a report in output_dir.")

    bf16: bool = argument(False, "Weights in bfloat16.", group="Machine")
    use_cpu: bool = argument(False, "Do not use a GPU.")

    def __post_init__(self) -> None:
        """Check what can be checked before a model is loaded.

        Raises:
            ValueError: If no model or no file is given, or a number is out of range.
        """
        from ...runtime.settings import require_ranges

        require_ranges(self)
        for name in ("models", "data"):
            if not getattr(self, name):
                raise ValueError(f"the command line gives no '{name}'; write spell evaluate MODEL --data FILE")


def run_evaluate(arguments: SpellEvaluateArguments) -> Path:
    """Score correctors and return the report.

    Raises:
        FileExistsError: If output_dir holds a report and overwrite is off.
        FileNotFoundError: If a model or a file is not there.
        ValueError: If a file is wrong, two have one name, or a folder is no corrector.
    """
    from ...evaluation.language_modeling.loading import public_names
    from ...evaluation.spelling import ScoredCorrector, read_spelling_pairs, write_spelling_report
    from ...evaluation.spelling.report import REPORT
    from .loading import confusions_of, timed_corrections, trained_corrector

    output = Path(arguments.output_dir)
    if (output / REPORT).exists() and not arguments.overwrite:
        raise FileExistsError(f"{output / REPORT} exists; give another output_dir, or overwrite")
    sets = {Path(name).name.partition(".")[0]: read_spelling_pairs(name, arguments.unequal) for name in arguments.data}
    if len(sets) != len(arguments.data):
        raise ValueError(f"two of data={', '.join(arguments.data)} have one name; the report needs another for each")
    confusion, threshold = confusions_of(arguments.confusion), arguments.threshold
    table = None if confusion is None else confusion.table
    scored, thresholds = [], {}
    for name, shown in public_names(arguments.models).items():
        model, tokenizer = trained_corrector(name, arguments.bf16, arguments.use_cpu)
        predictions, seconds = {}, {}
        for one, pairs in sets.items():
            predictions[one], seconds[one] = timed_corrections(
                model, tokenizer, [pair.source for pair in pairs], threshold, table
            )
        scored.append(ScoredCorrector(shown, [predictions], seconds))
        thresholds[shown] = model.settings.threshold if threshold is None else threshold
        logger.info("%s: corrected %d sets", name, len(sets))
    settings = {"thresholds": thresholds, "confusion": [Path(name).name for name in arguments.confusion]}
    return write_spelling_report(output, sets, scored, settings)
