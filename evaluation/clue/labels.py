"""The label of a row: a class, several labels, a number, or the tags of tokens."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from ...tokenization import entities
from .rows import ParsedFile, Row
from .tasks import Task, label_text

Label = int | float | tuple[int, ...]
"""Number of a class or choice; a number to predict; numbers of the labels that hold, ascending."""

NO_GOLD_LABEL = "-"
"""Label of rows on which the annotators did not agree; such rows are dropped and counted. Source: OCNLI, CMNLI."""


def read_label(row: Row, task: Task) -> Label | None:
    """Return a row's label; None where the row has no such column, or nothing in it.

    An empty cell says that none of several labels holds.

    Raises:
        ValueError: If the label is not one of the task's, or no number where one is expected.
    """
    value = row.values.get(task.label_field)
    if value is None or (value == "" and task.kind != "multi_label"):
        return None
    if task.kind == "regression":
        return _number(row, value, task)
    if task.kind == "multi_label":
        return tuple(sorted({_class(row, one, task) for one in _several(row, task)}))
    return _class(row, row.get(task.label_field, (str, int, bool)), task)


def _class(row: Row, written: object, task: Task) -> int:
    name = task.label_name(written)
    if name not in task.labels:
        shown = ", ".join(task.labels[:8]) + (", ..." if len(task.labels) > 8 else "")
        raise ValueError(f"{row.location}: label {name!r} of {task.name} is not one of {shown}")
    return task.labels.index(name)


def _several(row: Row, task: Task) -> list[Any]:
    """Return the labels of a row as they are written: a JSON list, or a text that the task's separator parts."""
    value = row.values[task.label_field]
    if isinstance(value, str) and not value.lstrip().startswith("["):
        return [part for part in value.split(task.separator) if part.strip()]
    return [value] if isinstance(value, int) else row.get(task.label_field, list)


def _number(row: Row, value: object, task: Task) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(str(value))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{row.location}: {task.label_field} {value!r} of {task.name} is not a number")
    return number


def is_without_gold(row: Row, task: Task) -> bool:
    """Return whether a row is labelled "-", where that is not one of the labels of a classification."""
    is_minus = label_text(row.values.get(task.label_field)) == NO_GOLD_LABEL
    known = (*task.labels, *task.label_names)
    return is_minus and task.kind not in ("multi_label", "regression") and NO_GOLD_LABEL not in known


def tag_parts(tag: Any, location: str) -> tuple[str, str]:
    """Return the letter and the type of a tag; of "O" the type is empty.

    Raises:
        ValueError: If it is no tag, such as a number.
    """
    try:
        return entities.tag_parts(tag)
    except ValueError as error:
        raise ValueError(f"{location}: {error}, or name them by the task's labels: {{0: O, 1: B-PER, ...}}") from error


def _named_tag(written: object, location: str, task: Task) -> str:
    """Return a tag as it is written by the task's names, of whole tags or of types."""
    prefix, kind = tag_parts(task.label_names.get(label_text(written), written), location)
    return f"{prefix}-{task.label_name(kind)}" if kind else prefix


def split_cell(cell: str) -> list[str]:
    """Return the tokens or tags of one cell, which blanks or the character U+0002 part."""
    return cell.replace("\x02", " ").split()


def token_tags(row: Row, task: Task) -> tuple[list[str], list[str] | None] | None:
    """Return the tokens of a row with tagged tokens and their tags (None: not given); None for a row of another form.

    Tokens are a list under the task's field or `tokens`, tags a list under its label field, or under `labels`. In a
    table both are cells, `split_cell` apart; where there is a tag for every character, the characters are the tokens.

    Raises:
        ValueError: If tokens and tags differ in number.
    """
    field = next((one for one in (task.fields[0], "tokens") if isinstance(row.values.get(one), list)), None)
    tag_field = next((one for one in (task.label_field, "labels") if one in row.values), None)
    tags = row.values.get(tag_field) if tag_field else None
    if field is None and isinstance(tags, str) and not tags.lstrip().startswith(("[", "{")):
        text, tags = row.get(task.fields[0]), split_cell(tags)
        tokens = split_cell(text)
        tokens = list(text) if len(tokens) != len(tags) == len(text) else tokens
    elif field is None:
        return None
    else:
        tokens = list(map(str, row.values[field]))
        tags = None if tag_field is None else row.get(tag_field, list)
    if tags is not None and len(tags) != len(tokens):
        raise ValueError(f"{row.location}: {len(tokens)} tokens but {len(tags)} labels")
    return tokens, None if tags is None else [_named_tag(tag, row.location, task) for tag in tags]


def observed_labels(files: Sequence[ParsedFile], task: Task) -> tuple[str, ...]:
    """Return the labels that occur in the training rows of a task of one's own, sorted."""
    seen: set[str] = set()
    for row in (row for file in files for row in file.rows):
        if task.kind == "classification":
            seen.add(task.label_name(row.get(task.label_field, (str, int))))
        elif task.kind == "multi_label":
            seen.update(map(task.label_name, _several(row, task)))
        elif (found := token_tags(row, task)) is not None:
            seen.update(tag_parts(tag, row.location)[1] for tag in found[1] or ())
        else:
            seen.update(kind for kind, _, _ in entity_spans(row, task))
    return tuple(sorted(seen - {NO_GOLD_LABEL, ""} if task.kind != "multi_label" else seen))


def entity_spans(row: Row, task: Task) -> list[tuple[str, int, int]]:
    """Return (type, first character, one past the last) of each entity of a text.

    They are `{type: {mention: [[first, last], ...]}}`, or a list of `{start, end, label}` or `[start, end, label]`. In
    the lists `end` is one past the last, and where a mapping has `text`, it is compared with the row's.

    Raises:
        ValueError: If a mention is not at its offsets, or offsets lie outside the text.
    """
    text, given = row.get(task.fields[0]), row.get(task.label_field, (dict, list))
    found: list[tuple[str, int, int]] = []
    if isinstance(given, dict):
        for kind in given:
            mentions = Row(row.location, given).get(kind, dict)
            for mention in mentions:
                for pair in Row(row.location, mentions).get(mention, list):
                    if not (isinstance(pair, list) and [type(one) for one in pair] == [int, int]):
                        raise ValueError(f"{row.location}: {mention!r} is at {pair!r}, expected [first, last]")
                    _check_mention(row, text, mention, pair[0], pair[1] + 1)
                    found.append((task.label_name(kind), pair[0], pair[1] + 1))
        return found
    for one in given:
        try:
            start, end, kind = (one["start"], one["end"], one["label"]) if isinstance(one, dict) else one
        except (KeyError, TypeError, ValueError):
            shown = json.dumps(one, ensure_ascii=False)
            raise ValueError(f"{row.location}: entity {shown} is not start, end and label") from None
        if not (isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= len(text)):
            raise ValueError(f"{row.location}: [{start}, {end}) is no part of a text of {len(text)} characters")
        if isinstance(one, dict) and "text" in one:
            _check_mention(row, text, one["text"], start, end)
        found.append((task.label_name(kind), start, end))
    return found


def _check_mention(row: Row, text: str, mention: object, start: int, end: int) -> None:
    if text[start:end] != mention:
        raise ValueError(
            f"{row.location}: {mention!r} is not at [{start}, {end - 1}] of the text; there is {text[start:end]!r}"
        )
