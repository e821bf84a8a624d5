"""Sentence pairs as one table: where a set lies, which fields it has, and how it becomes pairs or triplets.

A set is read in one of two forms. `ScoredPair` has a similarity from 0 to 1 and serves evaluation and the ranking loss;
`Triplet` has an anchor, a positive and negatives and serves the loss with in-batch negatives. What a label 0 says is
"not similar" and nothing else: such a pair gives negatives, never a positive.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..clue.files import TaskFiles
from ..clue.tasks import TASKS
from .rows import ReadRows, Rows, ScoredPair, Triplet, checked_number, checked_text, checked_texts, open_rows
from .sets import FIELDS_OF_KIND, SENTENCE_SETS, Kind, SentenceSet
from .t2ranking import read_ranking

__all__ = ["FIELDS_OF_KIND", "SENTENCE_SETS", "Kind", "ReadRows", "ScoredPair", "SentenceSet", "Triplet"]

logger = logging.getLogger(__name__)

# The field of a user's own file that holds negatives.
NEGATIVE = "negative"
# A sentence of PAWS-X that the translators left out.
NOT_TRANSLATED = "NS"
ENTAILMENT, CONTRADICTION = "entailment", "contradiction"
# From which scaled score on a graded pair counts as a positive, and up to which as a negative. Source: our default.
POSITIVE_SCORE, NEGATIVE_SCORE = 0.8, 0.2


def find_set(name: str) -> SentenceSet:
    """Return a row of the table, or a description of a user's own file of JSON lines, or table.

    A file's first row tells its kind: `anchor, positive[, negative]` are triplets, `sentence1, sentence2, score` (or
    `label`, both from 0 to 1) are scored pairs, `query, passage` are passages.

    Raises:
        ValueError: If the name is unknown and no file, or the file's fields are none of these.
    """
    if name in SENTENCE_SETS:
        return SENTENCE_SETS[name]
    path = Path(name)
    if not path.is_file():
        raise ValueError(f"'{name}' is neither a file nor one of {', '.join(SENTENCE_SETS)}")
    location, row = next(open_rows(path), (f"{path}:1", {}))
    forms: tuple[tuple[Kind, tuple[str, ...]], ...] = (
        ("triplets", ("anchor", "positive", NEGATIVE)),
        ("triplets", ("anchor", "positive")),
        ("scores", ("sentence1", "sentence2", "score")),
        ("scores", ("sentence1", "sentence2", "label")),
        ("passages", ("query", "passage")),
    )
    for kind, fields in forms:
        if all(one in row for one in fields):
            return SentenceSet(path.stem, str(path), kind, fields, dict.fromkeys(("train", "dev", "test"), str(path)))
    raise ValueError(
        f"{location} has the fields {', '.join(map(str, row)) or 'none'}; give anchor and positive (and negative), "
        "sentence1, sentence2 and score, or query and passage"
    )


def is_in_table(name: str) -> bool:
    """Return whether a name, with its split or without, is a set of the table, whose files lie in a folder."""
    return not Path(name).is_file() and name.partition(":")[0] in SENTENCE_SETS


def read_rows(one: SentenceSet, split: str, folder: str | Path) -> ReadRows:
    """Read a split of a set, checked row by row.

    Args:
        one: the set
        split: "train", "dev" or "test"
        folder: folder that the set's files are relative to

    Raises:
        FileNotFoundError: If the set has no such split or its file is missing.
        ValueError: With file and line, for a missing field, an empty text, a label out of range, or no usable row.
    """
    if split not in one.files:
        raise FileNotFoundError(f"{one.name} has no split '{split}'; it has {', '.join(one.files)}")
    path = Path(folder) / one.files[split]
    found = ReadRows()
    if one.kind == "ranking":
        read_ranking(path, split, found)
    elif one.clue_task:
        READERS[one.kind](_clue_rows(one, split, Path(folder)), one, found)
    elif not path.is_file():
        raise FileNotFoundError(f"{path} is missing: the {split} split of {one.name} ({one.source or one.title})")
    else:
        READERS[one.kind](open_rows(path), one, found)
    if not found.pairs and not found.triplets:
        raise ValueError(f"{path} gives no pair: {found.dropped or 'the file is empty'}")
    if found.dropped:
        logger.info("%s %s: left out %s", one.name, split, found.dropped)
    return found


def _clue_rows(one: SentenceSet, split: str, folder: Path) -> Rows:
    """Return the rows of a CLUE task from its archive, in `folder` or in a folder `clue` in it or next to it."""
    task, problem = TASKS[one.clue_task], None
    for candidate in (folder, folder / "clue", folder.absolute().parent / "clue"):
        try:
            return iter(TaskFiles(candidate, task).read(one.files[split]).rows)
        except FileNotFoundError as error:
            problem = problem or error
    raise problem or FileNotFoundError(f"no data of {one.name} in {folder}")


def _read_scores(rows: Rows, one: SentenceSet, found: ReadRows) -> None:
    """Read scored pairs, and triplets from what is clearly similar, with clearly different texts as negatives."""
    first, second, score = one.fields
    for location, row in rows:
        if str(row.get(score)) in ("-", "-1"):
            found.drop("no gold label")
            continue
        if NOT_TRANSLATED in (row.get(first), row.get(second)):
            found.drop("not translated")
            continue
        value = checked_number(row, score, location, one.highest)
        left, right = (checked_text(row, name, location) for name in (first, second))
        found.pairs.append(ScoredPair(left, right, value / one.highest))
    found.triplets = triplets_from_pairs(found.pairs)


def _read_triplets(rows: Rows, one: SentenceSet, found: ReadRows) -> None:
    """Read triplets; what is a positive of a text in any row is a negative of it in none.

    The first row tells which fields a file of one's own has, so that negatives which begin later are refused.
    """
    positives: dict[str, set[str]] = {}
    places = []
    for location, row in rows:
        if unread := [name for name in row if str(name).startswith(NEGATIVE) and name not in one.fields]:
            raise ValueError(
                f"{location}: field '{unread[0]}' would not be read; give {NEGATIVE} in every row, one text or a list"
            )
        anchor = checked_text(row, one.fields[0], location)
        texts = [checked_texts(row, name, location) for name in one.fields[1:]]
        negatives = texts[1] if len(texts) > 1 else ()
        for positive in texts[0]:
            positives.setdefault(anchor, set()).add(positive)
            if positive == anchor:
                found.drop("the positive is the anchor")
                continue
            found.triplets.append(Triplet(anchor, positive, negatives))
            places.append(location)
    changed = []
    for number, (triplet, location) in enumerate(zip(found.triplets, places, strict=True)):
        kept = tuple(text for text in triplet.negatives if text not in positives[triplet.anchor])
        if len(kept) < len(triplet.negatives):
            found.triplets[number] = Triplet(triplet.anchor, triplet.positive, kept)
            changed.append(location)
    if changed:
        what = "%s: a negative is a positive of the same text too, as in %d rows of %s; such negatives are left out"
        logger.warning(what, changed[0], len(set(changed)), one.name)


def _read_inference(rows: Rows, one: SentenceSet, found: ReadRows) -> None:
    """Read premises with what follows from them as positives and what contradicts them as negatives."""
    by_premise: dict[str, tuple[list[str], list[str]]] = {}
    for location, row in rows:
        premise, hypothesis = (checked_text(row, name, location) for name in one.fields[:2])
        label = str(row.get(one.fields[2]))
        if label not in (ENTAILMENT, CONTRADICTION, "neutral", "-"):
            raise ValueError(f"{location}: label {label!r} is none of entailment, neutral, contradiction, -")
        positives, negatives = by_premise.setdefault(premise, ([], []))
        if label in (ENTAILMENT, CONTRADICTION):
            (positives if label == ENTAILMENT else negatives).append(hypothesis)
        else:
            found.drop(f"label {label}")
    for premise, (positives, negatives) in by_premise.items():
        if not positives:
            found.drop("premise without an entailment")
        found.triplets.extend(Triplet(premise, text, tuple(negatives)) for text in positives if text != premise)


def _read_choice(rows: Rows, one: SentenceSet, found: ReadRows) -> None:
    anchor, first, second, label = one.fields
    for location, row in rows:
        if row.get(label) not in (1, 2, "1", "2"):
            raise ValueError(f"{location}: {label} is {row.get(label)!r}, expected 1 or 2: which text is closer")
        nearer, farther = (checked_text(row, name, location) for name in (first, second))
        if str(row[label]) == "2":
            nearer, farther = farther, nearer
        found.triplets.append(Triplet(checked_text(row, anchor, location), nearer, (farther,)))


def _read_passages(rows: Rows, one: SentenceSet, found: ReadRows) -> None:
    for location, row in rows:
        query, passage = (checked_text(row, name, location) for name in one.fields)
        found.triplets.append(Triplet(query, passage))


def _read_answers(rows: Rows, one: SentenceSet, found: ReadRows) -> None:
    """Read questions with passages: one that holds an answer scores 1, one in which people found none 0."""
    judged: dict[tuple[str, str], float] = {}
    for location, row in rows:
        question, passage = (checked_text(row, name, location) for name in one.fields[:2])
        pair = question, passage
        judged[pair] = max(judged.get(pair, 0.0), float(_is_answered(row.get(one.fields[2]), one.fields[2], location)))
    found.pairs += [ScoredPair(question, passage, score) for (question, passage), score in judged.items()]
    found.triplets = triplets_from_pairs(found.pairs)


def _is_answered(answers: Any, name: str, location: str) -> bool:
    """Return whether any answer has a text: a list of texts, or an object whose `text` is one, as in SQuAD."""
    texts = answers.get("text") if isinstance(answers, Mapping) else answers
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{location}: field '{name}' holds no list of answers; an empty one says that there is none")
    return any(text.strip() for text in texts)


READERS: dict[str, Callable[[Rows, SentenceSet, ReadRows], None]] = {
    "scores": _read_scores,
    "triplets": _read_triplets,
    "inference": _read_inference,
    "choice": _read_choice,
    "passages": _read_passages,
    "answers": _read_answers,
}


def triplets_from_pairs(
    pairs: Sequence[ScoredPair], positive: float = POSITIVE_SCORE, negative: float = NEGATIVE_SCORE
) -> list[Triplet]:
    """Return a triplet for each pair at `positive` or above; its negatives are texts scored `negative` or below.

    A pair that is not similar gives its second text as a negative of its first, and the reverse; a text without any
    positive gives nothing. Pairs in between are left out: they say neither.
    """
    against: dict[str, dict[str, None]] = {}
    for pair in pairs:
        if pair.score <= negative:
            against.setdefault(pair.first, {})[pair.second] = None
            against.setdefault(pair.second, {})[pair.first] = None
    return [
        Triplet(pair.first, pair.second, tuple(text for text in against.get(pair.first, {}) if text != pair.second))
        for pair in pairs
        if pair.score >= positive and pair.first != pair.second
    ]
