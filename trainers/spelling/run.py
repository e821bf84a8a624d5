"""The command `spell train`: one run for each seed, each kept when it is done; then the report.

The result of a run is one JSON file beside its model; a run whose file is there is not repeated, so a command that was
cut off goes on where it stopped, with the same scores.
"""

from __future__ import annotations

import gc
import json
import logging
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast, set_seed

from ...evaluation.spelling import ScoredCorrector, write_spelling_report
from ...modeling import ChineseModernBertForSpellingCorrection
from ...runtime.files import model_files_fingerprint, model_fingerprint, write_text_atomically
from ...runtime.folder_lock import hold_folder
from ...runtime.settings import differing_settings
from ...runtime.training_arguments import deciding_options
from ...tokenization.loading import check_vocabulary, load_tokenizer, save_tokenizer
from ..lora import add_lora, merge_lora
from ..soundness import refuse_unsound_weights
from .arguments import SpellingArguments
from .loading import build_corrector, confusions_of, timed_corrections
from .pairs import RunPairs, read_run_pairs
from .trainer import SpellingTrainer, run_arguments

logger = logging.getLogger(__name__)

RUNS, MODELS = "runs", "models"
# What names a run or says where things lie; the content of the files is compared.
MAY_DIFFER = ("seed", "seeds", "train", "dev", "test", "confusion")


def run_spelling(arguments: SpellingArguments) -> Path:
    """Train a corrector for each seed and write the report.

    Returns:
        The report, `output_dir/report.md`; the models are in `output_dir/models`.

    Raises:
        FileNotFoundError: If the model or a file of pairs is not there.
        FileExistsError: If another command works in the folder.
        ValueError: If data are wrong, or the folder holds runs of other settings.
    """
    if arguments.world_size > 1:
        raise ValueError(f"spell train was started in {arguments.world_size} processes; start one for each seed")
    output = Path(arguments.output_dir or "spell")
    with hold_folder(output):
        return _Runs(arguments, output).run()


class _Runs:
    """The runs of one command.

    Args:
        arguments: its options
        output: folder of results
    """

    def __init__(self, arguments: SpellingArguments, output: Path) -> None:
        self.arguments, self.output = arguments, output
        self.tokenizer: PreTrainedTokenizerFast = load_tokenizer(arguments.model)
        self.pairs: RunPairs = read_run_pairs(arguments)
        confusion = confusions_of(arguments.confusion)
        self.confusion = None if confusion is None else confusion.table
        self.identity = {
            **deciding_options(arguments, MAY_DIFFER),
            "weights": model_fingerprint(arguments.model),
            "files": model_files_fingerprint(arguments.model),
            "pairs": self.pairs.digest(),
            "confusion": None if confusion is None else confusion.digest,
        }

    def run(self) -> Path:
        """Run the seeds that are not done, and report all."""
        first = self.arguments.seed
        found = [self._result(seed) for seed in range(first, first + self.arguments.seeds)]
        settings = {
            "arm": self.arguments.arm,
            "seeds": [one["seed"] for one in found],
            "training pairs": len(self.pairs.train),
            "training pairs left out": self.pairs.left_out,
            "thresholds": [round(one["dev"]["threshold"], 6) for one in found],
            "epochs taken": [one["epoch"] for one in found],
            "false-positive rate allowed on dev": self.arguments.false_positive_rate,
            **{name: value for name, value in self.identity.items() if name not in ("arm", "false_positive_rate")},
        }
        sets = {"dev": self.pairs.dev, **self.pairs.test}
        seconds = {name: sum(one["seconds_by_set"][name] for one in found) / len(found) for name in sets}
        scored = ScoredCorrector(self.arguments.arm, [one["predictions"] for one in found], seconds)
        return write_spelling_report(self.output, sets, [scored], settings)

    def _result(self, seed: int) -> dict[str, Any]:
        """Return a run's result: from its file if it is done, else by running it."""
        name = f"seed{seed}"
        file = self.output / RUNS / f"{name}.json"
        if file.is_file() and not self.arguments.overwrite:
            found = json.loads(file.read_text(encoding="utf-8"))
            if different := differing_settings(found["identity"], self.identity):
                raise ValueError(f"{file} is of other settings: {'; '.join(different)}; give another output_dir")
            logger.info("%s: done before", name)
            return found
        file.unlink(missing_ok=True)  # what is overwritten is no record of the model that is saved now
        found = self._train(seed, self.output / MODELS / name)
        write_text_atomically(file, json.dumps(found, ensure_ascii=False) + "\n")
        logger.info("%s: F1 %.2f on dev at threshold %.3f", name, 100 * found["dev"]["f1"], found["dev"]["threshold"])
        return found

    def _train(self, seed: int, folder: Path) -> dict[str, Any]:
        """Train one run, save its model and correct every set."""
        started = time.perf_counter()
        set_seed(seed)
        chosen = run_arguments(self.arguments, seed)
        chosen.output_dir = str(self.output / "scratch")
        model = build_corrector(chosen)
        check_vocabulary(self.tokenizer, model.config.vocab_size)
        if chosen.lora_rank:
            add_lora(model.model, chosen.lora_rank, chosen.lora_alpha)
        trainer = SpellingTrainer(model, chosen, self.tokenizer, self.pairs.train, self.pairs.dev, self.confusion)
        trainer.train()
        point = trainer.restore_best()
        if not point.f1:
            logger.warning(
                "seed %d corrects nothing: no threshold mends a sentence of dev within false_positive_rate=%g",
                seed,
                chosen.false_positive_rate,
            )
        if chosen.lora_rank:
            merge_lora(model)
        refuse_unsound_weights(model, f"seed {seed}")
        predictions, seconds = self._correct(model)
        model.save_pretrained(folder)
        save_tokenizer(self.tokenizer, folder)
        shutil.rmtree(self.output / "scratch", ignore_errors=True)
        found = {
            "seed": seed,
            "dev": asdict(point),
            "epoch": trainer.best.epoch,
            "history": trainer.history,
            "curve": [asdict(one) for one in trainer.best.curve],
            "predictions": predictions,
            "seconds_by_set": seconds,
            "seconds": time.perf_counter() - started,
            "identity": self.identity,
        }
        del trainer, model
        gc.collect()
        return found

    def _correct(self, model: ChineseModernBertForSpellingCorrection) -> tuple[dict[str, list[str]], dict[str, float]]:
        """Return what the model makes of each set, and the seconds that it took."""
        predictions, seconds = {}, {}
        for name, pairs in {"dev": self.pairs.dev, **self.pairs.test}.items():
            predictions[name], seconds[name] = timed_corrections(
                model, self.tokenizer, [pair.source for pair in pairs], confusion=self.confusion
            )
        return predictions, seconds
