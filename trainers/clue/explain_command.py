"""The command `explain`: which words a fine-tuned classifier's decisions rest on, and how faithful that is."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoConfig, AutoTokenizer

from ...evaluation.clue.files import read_task
from ...evaluation.clue.forms import Layout, form_of, read_rows
from ...evaluation.clue.own_tasks import read_own_task
from ...evaluation.clue.readers import READERS, Example
from ...evaluation.clue.rows import ParsedFile
from ...evaluation.clue.tasks import TASKS, Task
from ...evaluation.explanations.curves import Faithfulness, measure_curves, summarize
from ...evaluation.explanations.explained import ExplainedText
from ...evaluation.explanations.importance import (
    Weights,
    gradient_times_input,
    leave_one_out,
    random_weights,
    search,
)
from ...evaluation.explanations.mask_reaction import measure_mask_reaction
from ...evaluation.explanations.masked_texts import MaskedTexts, probability
from ...evaluation.explanations.report import RANDOM, REPORT, write_explanations
from ...evaluation.language_modeling.loading import public_name
from ...tokenization.word_segmentation import load_segmenter
from .arguments import folder_of_data
from .explain import masked_texts, words_of
from .explain_options import ExplainArguments
from .inputs import Feature, TaskInputs
from .kinds import INPUTS
from .models import fine_tuned_model, length_limit
from .predict import task_of

logger = logging.getLogger(__name__)

KINDS = ("classification", "multi_label", "regression")


def run_explain(args: ExplainArguments) -> Path:
    """Explain a model's decisions and write the report.

    Returns:
        The report, `output_dir/report.md`.

    Raises:
        FileExistsError: If output_dir holds a report and overwrite is off.
        FileNotFoundError: If the rows are not there.
        ValueError: If the model is no classifier of texts or its labels are not those of the rows, or a row is wrong.
    """
    output = Path(args.output_dir)
    if (output / REPORT).exists() and not args.overwrite:
        raise FileExistsError(f"{output / REPORT} exists; give another output_dir, or overwrite")
    segmenter = load_segmenter(args.segmenter, args.user_dictionary)
    config = AutoConfig.from_pretrained(args.model, trust_remote_code=args.trust_remote_code)
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer or args.model, trust_remote_code=args.trust_remote_code)
    task = task_of(config, args.model, fields=args.fields, batch_size=args.batch_size)
    if task.kind not in KINDS:
        raise ValueError(f"{args.model} answers with {task.kind}; explain takes classifiers and scorers of texts")
    target = _target(args.label, task)
    task, examples = _read(args, task)
    limit = length_limit(args.model, tokenizer, args.trust_remote_code)
    inputs = INPUTS[task.kind](tokenizer, task, args.max_length or (0 if args.task else limit), limit)
    every, examples = examples, _chosen(args, inputs, examples, words_of(inputs, examples, segmenter))
    device = torch.device("cuda" if torch.cuda.is_available() and not args.use_cpu else "cpu")
    model = fine_tuned_model(args.model, task.kind, args.trust_remote_code).to(device)
    features = inputs.encode(examples)
    started = time.perf_counter()
    texts = masked_texts(model, inputs, examples, features, segmenter, args.batch_size, target)
    weights = {name: _weights(name, args, texts, model, features, inputs) for name in args.methods}
    methods, half = _measured(args, texts, weights)
    labels, known = ([one.label for one in several] for several in (examples, every))
    reaction = measure_mask_reaction(texts, half, labels, texts.whole.shape[1], known)
    (logger.warning if reaction.is_strong else logger.info)("%s", reaction.sentence())
    settings = {
        "model": public_name(args.model),
        "data": f"{task.name}, {args.split}" if args.task else Path(args.data).name,
        "texts": len(examples),
        "words": sum(map(len, texts.units)),
        "longest input in tokens": inputs.max_length,
        "texts that are cut": len(inputs.cut_numbers(examples)),
        **{name: getattr(args, name) for name in ("segmenter", "beams", "random_orders", "seed")},
        "masked rows": f"{texts.rows_run:,} in {time.perf_counter() - started:.0f} s",
    }
    return write_explanations(
        output, _explained(inputs, examples, features, texts, weights), methods, reaction, settings
    )


def _measured(
    args: ExplainArguments, texts: MaskedTexts, weights: dict[str, Weights]
) -> tuple[dict[str, Faithfulness], list[np.ndarray]]:
    """Return how faithful each method is, random last, and for each text bool `[words]`, a random half of them."""
    draws = [random_weights(texts, args.seed, draw) for draw in range(args.random_orders)]
    random = list(zip(*(measure_curves(texts, draw) for draw in draws), strict=True))
    methods = {name: summarize([[one] for one in measure_curves(texts, own)], random) for name, own in weights.items()}
    half = [np.argsort(np.argsort(-own)) < round(len(own) / 2) for own in draws[0]]
    return {**methods, RANDOM: summarize(random)}, half


def _target(label: str, task: Task) -> int | None:
    """Return the number of the label to explain; None where none is named."""
    if not label:
        return None
    if label not in task.labels:
        known = ", ".join(task.labels) or "none, it answers with a number"
        raise ValueError(f"label='{label}' is none of the model's: {known}")
    return task.labels.index(label)


def _read(args: ExplainArguments, task: Task) -> tuple[Task, list[Example]]:
    """Return the task and its examples, labels by the model's numbers.

    Args:
        args: options of the command
        task: the task as the model's configuration tells it

    Raises:
        FileNotFoundError: If the rows are not there.
        ValueError: If the task is of another kind than the model, or has other labels.
    """
    if not args.task:
        form_of(args.data)
        task = replace(task, label_field=args.label_field)
        rows = list(read_rows(args.data, Layout(tuple(args.columns), task.fields, args.label_field, is_tagged=False)))
        return task, list(READERS[task.reader]([ParsedFile(args.data, rows, None)], task))
    if args.task not in TASKS and not Path(args.task).is_file():
        raise FileNotFoundError(f"task '{args.task}' is neither one of {', '.join(TASKS)} nor a YAML file")
    named = TASKS.get(args.task) or read_own_task(args.task)
    if named.kind != task.kind:
        raise ValueError(f"{args.task} is a task of {named.kind}, and {args.model} answers with {task.kind}")
    if named.own_file and args.data:
        raise ValueError(f"data='{args.data}' is not read beside {args.task}, which names its files; leave it out")
    named = replace(named, labels=task.labels)
    splits = read_task(named, "" if named.own_file else folder_of_data(args.data)).splits
    if args.split not in splits:
        raise ValueError(f"{args.task} has no rows for split='{args.split}'; use one of {', '.join(splits)}")
    return named, splits[args.split]


def _chosen(
    args: ExplainArguments, inputs: TaskInputs, examples: Sequence[Example], words: Sequence[Sequence[Any]]
) -> list[Example]:
    """Draw the examples to explain, in their old order, from those that have a word.

    Raises:
        ValueError: If fewer than two have one.
    """
    filled = [one for one, units in zip(examples, words, strict=True) if any(unit.text.strip() for unit in units)]
    if len(filled) < len(examples):
        logger.warning("%s: %d rows without a word are left out", inputs.task.name, len(examples) - len(filled))
    if len(filled) < 2:
        raise ValueError(f"{args.data or args.task} has {len(filled)} rows with a word; explain compares 2 or more")
    drawn = np.random.default_rng(args.seed).permutation(len(filled))[: args.max_examples]
    return [filled[i] for i in np.sort(drawn).tolist()]


def _weights(
    name: str,
    args: ExplainArguments,
    texts: MaskedTexts,
    model: nn.Module,
    features: Sequence[Feature],
    inputs: TaskInputs,
) -> Weights:
    """Return the weights of one method, and log what they took."""
    started, rows = time.perf_counter(), texts.rows_run
    if name == "gradient":
        bare = [{key: value for key, value in one.items() if key != "labels"} for one in features]
        found = gradient_times_input(texts, model, bare, inputs.collate, args.batch_size)
    else:
        found = search(texts, args.beams) if name == "search" else leave_one_out(texts)
    seconds = time.perf_counter() - started
    logger.info("%s: %d texts, %d masked rows, %.1f s", name, len(texts), texts.rows_run - rows, seconds)
    return found


def _explained(
    inputs: TaskInputs,
    examples: Sequence[Example],
    features: Sequence[Feature],
    texts: MaskedTexts,
    weights: dict[str, Weights],
) -> list[ExplainedText]:
    """Return every example as reports show it."""
    task, values = inputs.task, probability(texts.whole, texts.kind)
    predicted = inputs.decode(texts.whole, features, examples).values

    def named(value: Any) -> Any:
        if value is None or task.kind == "regression":
            return value
        return [task.labels[one] for one in value] if task.kind == "multi_label" else task.labels[value]

    return [
        ExplainedText(
            identity=example.identity,
            texts=inputs.texts_read(example),
            units=texts.units[number],
            explained=task.labels[texts.targets[number]] if task.labels else task.label_field,
            value=float(values[number, texts.targets[number]]),
            predicted=named(predicted[number]),
            gold=named(example.label),
            weights={name: own[number] for name, own in weights.items()},
        )
        for number, example in enumerate(examples)
    ]
