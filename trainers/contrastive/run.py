"""The command `sts`: checks before any work, then stage after stage, each trained, evaluated and kept."""

from __future__ import annotations

import copy
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from transformers import set_seed

from ...evaluation.retrieval.tasks import RetrievalTask, task_from_triplets
from ...evaluation.sentences.files import ScoredPair
from ...evaluation.sentences.mteb import named_tasks, run_mteb
from ...evaluation.sentences.report import ScoredEncoder, write_sentence_report
from ...evaluation.sentences.scores import SentenceScores, evaluate_encoder
from ...runtime.files import make_folder, model_fingerprint, write_text_atomically
from ...runtime.processes import hold_folder_together, on_main_process
from ..lora import add_lora, merge_lora
from ..soundness import refuse_unsound_weights
from .arguments import ContrastiveArguments
from .baselines import SCORES, check_against, finished_stages, score_baselines, score_sizes
from .datasets import NamedRows, read_named, rows_fingerprint, stage_datasets, texts_of, without_leaks
from .leakage import LeakageReport, find_leaks
from .models import is_encoder_folder, load_encoder, save_encoder, transformer_of
from .options import ContrastiveStage
from .settings import differing_stages, shown_settings, stage_record
from .trainer import ContrastiveTrainer

logger = logging.getLogger(__name__)

STAGE, FINAL = "stage.json", "final"


def run_contrastive(arguments: ContrastiveArguments) -> Path:
    """Train a sentence encoder over all its stages, or score it as it is where there are none.

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
    check_arguments(arguments)
    output = Path(arguments.output_dir or "")
    with hold_folder_together(output):
        _run(arguments, output)
    return output


def _run(arguments: ContrastiveArguments, output: Path) -> None:
    """Read, train stage after stage and report, in a folder that this run holds."""
    training = [read_named(stage.data, arguments.data, "train") for stage in arguments.stages]
    scored, retrieval = read_evaluation(arguments)
    training, leaks = check_leakage(training, scored, retrieval, arguments)
    on_main_process(lambda: _clear_later_stages(output, arguments))
    rows = [rows_fingerprint(chain(*training[:number]), scored, retrieval) for number in range(len(training) + 1)]
    folder = _first_stage(output, arguments, scored, retrieval, rows[0])
    encoders: list[ScoredEncoder] = []
    on_main_process(lambda: encoders.extend(score_baselines(arguments, training, scored, retrieval, rows[-1])))
    encoders.append(ScoredEncoder("before training", "stage", SentenceScores.load(folder / SCORES)))
    for number, (stage, named) in enumerate(zip(arguments.stages, training, strict=True), start=1):
        record = stage_record(number, stage, arguments, rows[number])
        folder = _run_stage(number, stage, named, folder, arguments, scored, retrieval, record)
        encoders.append(ScoredEncoder(f"stage {number}, {stage.loss}", "stage", SentenceScores.load(folder / SCORES)))
    data = {"leakage": f"{leaks.summary()}; leakage: {arguments.leakage}", **_rows_of_stages(output, training)}
    on_main_process(lambda: _finish(output, folder, encoders, arguments, scored, retrieval, data))


def check_arguments(arguments: ContrastiveArguments) -> None:
    """Refuse missing or impossible values before any work.

    Raises:
        ValueError, FileNotFoundError: What is missing.
        ImportError: Where tasks of mteb are named and it is not installed.
    """
    for name in ("model", "data", "output_dir"):
        if not getattr(arguments, name):
            raise ValueError(f"{name} is not given; set it in the recipe or with --{name}")
    if not is_encoder_folder(arguments.model):
        raise FileNotFoundError(f"model='{arguments.model}' is no folder of a checkpoint or release")
    if not arguments.evaluation and not arguments.retrieval:
        raise ValueError("nothing to evaluate on; name at least one set, such as evaluation: [stsb:test]")
    if not arguments.stages:
        logger.info("there are no stages: the model is scored as it is")
    check_against(arguments)
    if arguments.mteb:
        named_tasks(arguments.mteb)


def read_evaluation(
    arguments: ContrastiveArguments,
) -> tuple[dict[str, list[ScoredPair]], dict[str, RetrievalTask]]:
    """Read the sets that stages are judged on.

    Raises:
        ValueError: If a set for similarity has no scores.
    """
    scored = {one.name: one.rows.pairs for one in read_named(arguments.evaluation, arguments.data, "test")}
    for name, pairs in scored.items():
        if not pairs:
            raise ValueError(f"{name} has no scored pairs to evaluate on; name it under retrieval")
    named = read_named(arguments.retrieval, arguments.data, "test")
    return scored, {one.name: task_from_triplets(one.rows.triplets, one.rows.passages) for one in named}


def check_leakage(
    training: list[list[NamedRows]],
    scored: Mapping[str, Sequence[ScoredPair]],
    retrieval: Mapping[str, RetrievalTask],
    arguments: ContrastiveArguments,
) -> tuple[list[list[NamedRows]], LeakageReport]:
    """Compare training with evaluation texts and refuse, drop or report what both hold.

    Returns:
        The rows that train, and what was found.

    Raises:
        ValueError: If texts leak and `leakage` is `refuse`.
    """
    evaluation = {
        name: [text for pair in pairs for text in (pair.first, pair.second)] for name, pairs in scored.items()
    }
    for name, task in retrieval.items():
        evaluation.setdefault(name, []).extend((*task.queries, *task.passages))
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


def _finish(
    output: Path,
    folder: Path,
    encoders: Sequence[ScoredEncoder],
    arguments: ContrastiveArguments,
    scored: Mapping[str, Sequence[ScoredPair]],
    retrieval: Mapping[str, RetrievalTask],
    data: Mapping[str, str],
) -> None:
    """Copy the last stage's model to `final`, score it cut to sizes and on what is asked of mteb; write the report."""
    final = output / FINAL
    shutil.rmtree(final, ignore_errors=True)
    shutil.copytree(folder / "model", final)
    scores: dict[str, float] = {}
    if arguments.mteb:  # its own cache keeps the tasks that an interrupted run had finished
        weights = model_fingerprint(final).rsplit(" ", maxsplit=1)[-1]  # mteb calls every folder alike
        scores = run_mteb(load_encoder(final, arguments), named_tasks(arguments.mteb), output / "mteb" / weights)
    *before, last = encoders
    sizes = score_sizes(folder, arguments, scored, retrieval) if arguments.stages else []
    named = [ScoredEncoder(f"{last.name}, {size} dimensions", "size", found) for size, found in sizes]
    rows = [*before, *named, last]
    write_sentence_report(output, rows, shown_settings(arguments), arguments.bootstrap_resamples, scores, data)


def _first_stage(
    output: Path,
    arguments: ContrastiveArguments,
    scored: Mapping[str, Sequence[ScoredPair]],
    retrieval: Mapping[str, RetrievalTask],
    rows: str,
) -> Path:
    """Evaluate the model before any contrastive stage."""
    folder = output / "stage-0"
    record = stage_record(0, None, arguments, rows)
    if _is_finished(folder, record, arguments):
        return folder
    model = load_encoder(arguments.model, arguments)
    on_main_process(lambda: _keep(folder, model, record, arguments, scored, retrieval))
    return folder


def _run_stage(
    number: int,
    stage: ContrastiveStage,
    named: Sequence[NamedRows],
    before: Path,
    arguments: ContrastiveArguments,
    scored: Mapping[str, Sequence[ScoredPair]],
    retrieval: Mapping[str, RetrievalTask],
    record: dict[str, Any],
) -> Path:
    """Train, evaluate and keep one stage, unless it is finished."""
    folder = Path(arguments.output_dir or "") / f"stage-{number}"
    if _is_finished(folder, record, arguments):
        return folder
    set_seed(arguments.seed)
    model = load_encoder(before / "model", arguments)
    model.max_seq_length = stage.max_length
    fewest = stage.batch_size if arguments.world_size > 1 else 2  # processes share whole batches
    datasets = stage_datasets(named, stage, arguments.seed, model, arguments.mining_margin, fewest)
    inner = transformer_of(model)
    if arguments.lora_rank and inner is not None:
        add_lora(inner, arguments.lora_rank, arguments.lora_alpha)
    trainer = ContrastiveTrainer(model, _stage_arguments(stage, arguments, folder), datasets)
    trainer.train()
    if arguments.lora_rank:
        merge_lora(model)
    record["log"] = [line for line in trainer.state.log_history if "loss" in line]
    record["trained_rows"] = {name: len(rows) for name, rows in datasets.items()}
    on_main_process(lambda: _keep(folder, model, record, arguments, scored, retrieval))
    return folder


def _stage_arguments(stage: ContrastiveStage, arguments: ContrastiveArguments, folder: Path) -> ContrastiveArguments:
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


def _is_finished(folder: Path, record: dict[str, Any], arguments: ContrastiveArguments) -> bool:
    """Return whether a stage was kept under the same settings; what another run or a broken one left goes.

    Raises:
        FileExistsError: If the folder holds a stage of other settings and `overwrite` is off.
    """
    on_main_process(lambda: _clear_unfinished(folder, record, arguments))
    return (folder / SCORES).is_file()


def _clear_later_stages(output: Path, arguments: ContrastiveArguments) -> None:
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


def _clear_unfinished(folder: Path, record: dict[str, Any], arguments: ContrastiveArguments) -> None:
    if not (folder / SCORES).is_file() or not (folder / STAGE).is_file():
        shutil.rmtree(folder, ignore_errors=True)
        return
    old = json.loads((folder / STAGE).read_text(encoding="utf-8"))
    different = differing_stages(old, record)
    if not different:
        logger.info("%s is finished", folder)
    elif arguments.overwrite:
        shutil.rmtree(folder)
    else:
        raise FileExistsError(
            f"{folder} was trained with other settings: {'; '.join(different)}; give another output_dir, or --overwrite"
        )


def _keep(
    folder: Path,
    model: SentenceTransformer,
    record: dict[str, Any],
    arguments: ContrastiveArguments,
    scored: Mapping[str, Sequence[ScoredPair]],
    retrieval: Mapping[str, RetrievalTask],
) -> None:
    """Save and evaluate a stage; the scores are written last, as the sign that it is complete.

    Raises:
        ValueError: If its weights are not finite.
    """
    refuse_unsound_weights(model, folder.name)
    inner = transformer_of(model)
    if record["stage"] is not None and inner is not None:  # a stage trains on short texts, its model reads long ones
        model.max_seq_length = inner.config.max_position_embeddings
    save_encoder(model, folder / "model")
    write_text_atomically(folder / STAGE, json.dumps(record, ensure_ascii=False, indent=1) + "\n")
    scores = evaluate_encoder(model.eval(), scored, retrieval, arguments.bootstrap_resamples)
    scores.save(folder / SCORES)
    shutil.rmtree(folder / "training", ignore_errors=True)
    for name, one in scores.similarity.items():
        logger.info("%s %s: %s", folder.name, name, ", ".join(f"{key} {value}" for key, value in one.scores.items()))
