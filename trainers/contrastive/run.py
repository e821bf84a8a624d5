"""The commands `sts` and `retrieval`: checks before any work, then stage after stage, each trained, scored and kept."""

from __future__ import annotations

import copy
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import set_seed

from ...evaluation.retrieval.loading import load_search_model
from ...evaluation.sentences.files import is_in_table
from ...evaluation.sentences.rows import Triplet
from ...modeling.loading import own_config
from ...runtime.files import make_folder, read_record, write_text_atomically
from ...runtime.processes import hold_folder_together, on_main_process
from ..leakage import LeakageReport, find_leaks
from ..lora import add_lora, merge_lora
from ..soundness import refuse_unsound_weights
from .arguments import ContrastiveArguments, RetrievalArguments, StageArguments
from .averaging import average_with, copy_weights
from .datasets import (
    NamedRows,
    check_rows,
    read_named,
    rows_fingerprint,
    stage_datasets,
    texts_of,
    without_leaks,
)
from .distillation import with_teacher_scores
from .judge import Judge
from .kinds import ModelKind, kind_named
from .mining import check_models, mine, negatives_source
from .models import CONFIG_FILE, is_encoder_folder, limit_length, transformer_of
from .options import ContrastiveStage
from .search_judge import SearchJudge
from .settings import differing_stages, stage_record
from .similarity_judge import SimilarityJudge
from .stages import FINAL, SCORES, STAGE, finished_stages

logger = logging.getLogger(__name__)


def run_contrastive(arguments: ContrastiveArguments) -> Path:
    """Train a sentence encoder over all its stages, or score it as it is where there are none; the command `sts`.

    Finished stages of an interrupted run are kept.

    Args:
        arguments: see `ContrastiveArguments`

    Returns:
        `output_dir`, with `stage-0` (before training), `stage-1` ..., the scores of each, `final` (a folder of
        sentence-transformers) and `report.md`.

    Raises:
        FileNotFoundError: If a file of a set or the model is missing.
        FileExistsError: If the output folder holds another run, or one works in it.
        ValueError: If settings or rows are wrong, or training texts occur in an evaluation set.
    """
    return run_stages(arguments, kind_named("dense"), SimilarityJudge)


def run_retrieval(arguments: RetrievalArguments) -> Path:
    """Train a model for search over all its stages, or measure it as it is where there are none.

    Args:
        arguments: see `RetrievalArguments`

    Returns:
        `output_dir`, laid out as that of `run_contrastive`; the report says what each search finds and costs.

    Raises:
        FileNotFoundError, FileExistsError, ValueError: As `run_contrastive` does.
    """
    return run_stages(arguments, kind_named(arguments.kind), SearchJudge)


def run_stages(arguments: StageArguments, kind: ModelKind, judge: type[Judge]) -> Path:
    """Run the stages of a model of any kind; see `run_contrastive`.

    Args:
        arguments: of the command
        kind: what is trained
        judge: what the stages are judged by
    """
    check_arguments(arguments, judge)
    _refuse_nothing(kind, arguments)
    output = Path(arguments.output_dir or "")
    with hold_folder_together(output):
        _Run(arguments, kind, judge(arguments)).run()
    return output


def check_arguments(arguments: StageArguments, judge: type[Judge]) -> None:
    """Refuse missing or impossible values before any work.

    Raises:
        ValueError, FileNotFoundError: What is missing.
        ImportError: What the judge needs and is not installed.
    """
    for name in ("model", "output_dir"):
        if not getattr(arguments, name):
            raise ValueError(f"{name} is not given; set it in the recipe or with --{name}")
    evaluation = [*getattr(arguments, "evaluation", ()), *arguments.retrieval]
    sets = [name for name in chain(evaluation, *(stage.data for stage in arguments.stages)) if is_in_table(name)]
    if sets and not arguments.data:
        raise ValueError(f"data is not given, the folder of the set '{sets[0]}'; set it in the recipe or with --data")
    if not is_encoder_folder(arguments.model):
        raise FileNotFoundError(f"model='{arguments.model}' is no folder of a checkpoint or release")
    if not arguments.stages:
        logger.info("there are no stages: the model is scored as it is")
    for stage in arguments.stages:
        check_models(stage)
        _refuse_lengths(arguments.model, stage)
    judge.check(arguments)


def _refuse_lengths(model: str, stage: ContrastiveStage) -> None:
    """Refuse texts that are longer than a model of ours reads; the saved one would cut them.

    Raises:
        ValueError: If the stage has such texts.
    """
    config = own_config(model) if (Path(model) / CONFIG_FILE).is_file() else None
    if config is not None and stage.max_length > config.max_position_embeddings:
        raise ValueError(
            f"max_length={stage.max_length} is over the model's max_position_embeddings="
            f"{config.max_position_embeddings}; shorten it"
        )


def _refuse_nothing(kind: ModelKind, arguments: StageArguments) -> None:
    """Refuse to measure what no stage has trained.

    Raises:
        ValueError: If there is no stage and the model would begin with random weights.
    """
    if not arguments.stages and kind.is_untrained(arguments.model):
        raise ValueError(
            f"model='{arguments.model}' has no head to measure and there are no stages to train one; add a stage"
        )


class _Run:
    """A run in a folder that it holds.

    Args:
        arguments: of the command
        kind: what is trained
        judge: what the stages are judged by
    """

    def __init__(self, arguments: StageArguments, kind: ModelKind, judge: Judge) -> None:
        self.arguments, self.kind, self.judge = arguments, kind, judge
        self.output = Path(arguments.output_dir or "")

    def run(self) -> None:
        """Read, train stage after stage and report."""
        arguments, output = self.arguments, self.output
        training = [read_named(stage.data, arguments.data, "train") for stage in arguments.stages]
        training, leaks = check_leakage(training, self.judge.texts(), arguments)
        for stage, named in zip(arguments.stages, training, strict=True):
            for one in named:
                check_rows(one, stage)  # of every stage before the first one trains
        on_main_process(lambda: _clear_later_stages(output, arguments))
        sets = self.judge.rows()
        rows = [rows_fingerprint(chain(*training[:number]), *sets) for number in range(len(training) + 1)]
        all_named = list(chain(*training))
        folder = self._first_stage(rows[-1 if self.kind.counts_documents else 0], all_named)
        for number, (stage, named) in enumerate(zip(arguments.stages, training, strict=True), start=1):
            record = stage_record(number, stage, arguments, rows[number], folder / "model")
            folder = self._run_stage(number, stage, named, folder, record)
        data = {"leakage": f"{leaks.summary()}; leakage: {arguments.leakage}", **_rows_of_stages(output, training)}
        if self.kind.is_untrained(arguments.model):
            data["before training"] = "not measured, since the head is new"
        on_main_process(lambda: self._finish(folder, training, rows[-1], data))

    def _first_stage(self, rows: str, training: Sequence[NamedRows]) -> Path:
        """Evaluate the model before any stage."""
        folder = self.output / "stage-0"
        record = stage_record(0, None, self.arguments, rows)
        if _is_finished(folder, record, self.arguments):
            return folder
        model = self.kind.begin(self.arguments.model, self.arguments, training)
        is_scored = not self.kind.is_untrained(self.arguments.model)
        on_main_process(lambda: self._keep(folder, model, record, is_scored))
        return folder

    def _run_stage(
        self, number: int, stage: ContrastiveStage, named: Sequence[NamedRows], before: Path, record: dict[str, Any]
    ) -> Path:
        """Train, evaluate and keep one stage, unless it is finished."""
        arguments, folder = self.arguments, self.output / f"stage-{number}"
        if _is_finished(folder, record, arguments):
            return folder
        set_seed(arguments.seed)
        model = self.kind.load(before / "model", arguments)
        limit_length(model, stage.max_length)
        datasets = self._datasets(number, stage, named, model)
        start = copy_weights(model) if stage.average_with_start else {}
        inner = transformer_of(model)
        if arguments.lora_rank:
            if inner is None:
                raise ValueError(
                    f"lora_rank={arguments.lora_rank} acts on an encoder, and the model has none; leave it out"
                )
            body: Any = inner.base_model
            add_lora(body, arguments.lora_rank, arguments.lora_alpha)
        trainer = self.kind.trainer(model, _stage_arguments(stage, arguments, folder), datasets)
        trainer.train()
        # The precision of training stays on the model: it would be scored as another than the one that is saved.
        trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
        if arguments.lora_rank:
            merge_lora(model)
        if stage.average_with_start:
            average_with(model, start, stage.average_with_start)
        record["log"] = [line for line in trainer.state.log_history if "loss" in line]
        record["trained_rows"] = {name: len(rows) for name, rows in datasets.items()}
        on_main_process(lambda: self._keep(folder, model, record))
        return folder

    def _datasets(
        self, number: int, stage: ContrastiveStage, named: Sequence[NamedRows], model: Any
    ) -> dict[str, Dataset]:
        """Return what a stage trains on, with the negatives and the teacher's scores that it asks for."""
        arguments, trust = self.arguments, self.arguments.trust_remote_code
        teacher: Any = load_search_model(stage.teacher, trust) if stage.teacher else None
        source: Any = negatives_source(stage.negatives_from, model, trust) if stage.mined_negatives else None

        def mined(triplets: Sequence[Triplet]) -> Sequence[Triplet]:
            return mine(triplets, source, stage.mined_negatives, arguments.mining_margin, teacher)

        fewest = stage.batch_size if arguments.world_size > 1 else 2  # processes share whole batches
        datasets = stage_datasets(named, stage, arguments.seed, mined, fewest)
        if stage.loss != "distillation":
            return datasets
        return with_teacher_scores(datasets, teacher, self.output / f"stage-{number}-teacher.npz")

    def _keep(self, folder: Path, model: Any, record: dict[str, Any], is_scored: bool = True) -> None:
        """Save and evaluate a stage; the scores are written last, as the sign that it is complete.

        Args:
            folder: of the stage
            model: as the stage leaves it
            record: what decides the result
            is_scored: evaluate it; else what is kept says that nothing was measured

        Raises:
            ValueError: If its weights are not finite.
        """
        refuse_unsound_weights(model, folder.name)
        inner = transformer_of(model)
        if record["stage"] is not None and inner is not None:  # a stage trains on short texts, models read long ones
            limit_length(model, inner.config.max_position_embeddings)
        self.kind.save(model, folder / "model")
        write_text_atomically(folder / STAGE, json.dumps(record, ensure_ascii=False, indent=1) + "\n")
        scores = self.judge.score(model.eval(), folder) if is_scored else self.judge.no_scores()
        scores.save(folder / SCORES)
        shutil.rmtree(folder / "training", ignore_errors=True)
        for line in self.judge.summary(scores):
            logger.info("%s %s", folder.name, line)

    def _finish(self, folder: Path, training: Sequence[Sequence[NamedRows]], rows: str, data: dict[str, str]) -> None:
        """Copy the last stage's model to `final`, which is never half a model, and report."""
        final, partial = self.output / FINAL, self.output / f".{FINAL}"
        for one in (partial, final):
            shutil.rmtree(one, ignore_errors=True)
        shutil.copytree(folder / "model", partial)
        partial.rename(final)
        self.judge.report(self.output, training, rows, data)


def check_leakage(
    training: list[list[NamedRows]],
    evaluation: Mapping[str, Sequence[str]],
    arguments: StageArguments,
) -> tuple[list[list[NamedRows]], LeakageReport]:
    """Compare training with evaluation texts and refuse, drop or report what both hold.

    Returns:
        The rows that train, and what was found.

    Raises:
        ValueError: If texts leak and `leakage` is `refuse`.
    """
    leaks = find_leaks(texts_of([one for stage in training for one in stage]), evaluation, arguments.leakage_similarity)
    logger.info("leakage: %s", leaks.summary())
    if not leaks.texts or arguments.leakage == "report":
        return training, leaks
    if arguments.leakage == "refuse":
        raise ValueError(f"training texts occur in the evaluation: {leaks.summary()}; leakage: drop leaves them out")
    return [without_leaks(stage, leaks) for stage in training], leaks


def _rows_of_stages(output: Path, training: Sequence[Sequence[NamedRows]]) -> dict[str, str]:
    """Return what every stage was trained on, for the report: rows of its data sets, and those left out of its sets."""
    told = {}
    for number, named in enumerate(training, start=1):
        rows = json.loads((output / f"stage-{number}" / STAGE).read_text(encoding="utf-8")).get("trained_rows", {})
        parts = [f"{name} {count:,} rows" for name, count in rows.items()]
        parts += [
            f"{count:,} of {one.name} left out ({reason})"
            for one in named
            for reason, count in one.rows.dropped.items()
        ]
        told[f"stage {number}"] = "; ".join(parts)
    return told


def _stage_arguments(stage: ContrastiveStage, arguments: StageArguments, folder: Path) -> StageArguments:
    """Return the arguments of one stage."""
    own = copy.copy(arguments)
    own.output_dir = str(folder / "training")
    own.num_train_epochs = stage.epochs
    own.per_device_train_batch_size = stage.batch_size
    own.learning_rate = arguments.learning_rate if stage.learning_rate is None else stage.learning_rate
    prompts = {"anchor": arguments.query_prompt, "positive": arguments.document_prompt}
    negatives = range(1, max(stage.hard_negatives, stage.mined_negatives) + 1)
    prompts |= {f"negative_{number}": arguments.document_prompt for number in negatives}
    own.prompts = prompts if any(prompts.values()) else None  # pairs of `cosent` are alike: they get none
    return own


def _is_finished(folder: Path, record: dict[str, Any], arguments: StageArguments) -> bool:
    """Return whether a stage was kept under the same settings; what another run or a broken one left goes.

    Raises:
        FileExistsError: If the folder holds a stage of other settings and `overwrite` is off.
    """
    on_main_process(lambda: _clear_unfinished(folder, record, arguments))
    return (folder / SCORES).is_file()


def _clear_later_stages(output: Path, arguments: StageArguments) -> None:
    """Make the folder; refuse one of more stages than this command has, or remove them: the last would be another's.

    Raises:
        FileExistsError: If there are such stages and `overwrite` is off.
    """
    make_folder(output)
    later = [folder for folder in finished_stages(output) if int(folder.name.partition("-")[2]) > len(arguments.stages)]
    if later and not arguments.overwrite:
        raise FileExistsError(
            f"{output} holds {later[0].name}, and this command has {len(arguments.stages)} stages; give another "
            "output_dir, or --overwrite"
        )
    for folder in later:
        shutil.rmtree(folder)


def _clear_unfinished(folder: Path, record: dict[str, Any], arguments: StageArguments) -> None:
    if not (folder / SCORES).is_file() or not (folder / STAGE).is_file():
        shutil.rmtree(folder, ignore_errors=True)
        return
    old = read_record(folder / STAGE, {"settings": dict, "before": list}, f"delete {folder} to train it again")
    different = differing_stages(old, record, type(arguments))
    if not different:
        logger.info("%s is finished", folder)
    elif arguments.overwrite:
        shutil.rmtree(folder)
    else:
        raise FileExistsError(
            f"{folder} was trained with other settings: {'; '.join(different)}; give another output_dir, or --overwrite"
        )
