"""Sentence pairs as one table: where a set lies, which fields it has, and how it becomes pairs or triples.

A set is read in one of two forms. `ScoredPair` has a similarity from 0 to 1 and serves evaluation and the ranking loss;
`Triple` has an anchor, a positive and negatives and serves the loss with in-batch negatives. What a label 0 says is
"not similar" and nothing else: such a pair gives negatives, never a positive.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..tokenization.documents import read_json_rows
from ..tokenization.normalization import check_encodable

logger = logging.getLogger(__name__)

Kind = Literal["scores", "triples", "inference", "choice", "passages"]
FIELDS_OF_KIND: dict[str, int] = {"scores": 3, "triples": 2, "inference": 3, "choice": 4, "passages": 2}
ENTAILMENT, CONTRADICTION = "entailment", "contradiction"
# From which scaled score on a graded pair counts as a positive, and up to which as a negative. Source: our default.
POSITIVE_SCORE, NEGATIVE_SCORE = 0.8, 0.2


@dataclass(frozen=True)
class SentenceSet:
    """One set of sentence pairs.

    Attributes:
        name: Name in `SENTENCE_SETS` or the file's name.
        title: What it is, in a few words.
        kind: `scores` (two texts, a number), `triples` (anchor, positive, and a negative or a list of them),
            `inference` (premise, hypothesis, label), `choice` (anchor, two texts, which of them is closer) or
            `passages` (query, passage that answers it).
        fields: Names of the fields in the order of the kind.
        files: Split -> file, relative to the folder of the data.
        highest: Label that means "the same"; 0 is always the lowest.
        licence: Licence as stated by its source.
        source: Where it comes from.
    """

    name: str
    title: str
    kind: Kind
    fields: tuple[str, ...]
    files: Mapping[str, str]
    highest: float = 1.0
    licence: str = "none stated"
    source: str = ""


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """Two texts and their similarity from 0 to 1."""

    first: str
    second: str
    score: float


@dataclass(frozen=True, slots=True)
class Triple:
    """A text, one that means the same (or answers it), and texts that do not."""

    anchor: str
    positive: str
    negatives: tuple[str, ...] = ()


@dataclass
class ReadRows:
    """Rows of a set as they were read.

    Attributes:
        pairs: Pairs with a score; empty where the kind has none.
        triples: Triples.
        dropped: Reason -> rows that were passed by.
    """

    pairs: list[ScoredPair] = field(default_factory=list)
    triples: list[Triple] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, reason: str) -> None:
        """Count a row that is passed by."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1


def _pairs(name: str, title: str, files: dict[str, str], fields: str = "sentence1 sentence2 label", **more: Any) -> Any:
    return SentenceSet(name, title, "scores", tuple(fields.split()), files, **more)


def _nli(name: str, title: str, files: dict[str, str], source: str) -> SentenceSet:
    return SentenceSet(name, title, "inference", ("sentence1", "sentence2", "label"), files, source=source)


SENTENCE_SETS: dict[str, SentenceSet] = {
    one.name: one
    for one in (
        _pairs(
            "stsb",
            "STS-B in Chinese, scores 0 to 5",
            {"train": "stsb-zh/train.jsonl.gz", "dev": "stsb-zh/dev.jsonl", "test": "stsb-zh/test.jsonl"},
            "sentence1 sentence2 score",
            highest=5.0,
            source="pluto-junzeng/CNSD",
        ),
        _pairs("lcqmc", "LCQMC, question matching", {"train": "lcqmc/train.jsonl.gz", "dev": "lcqmc/dev.jsonl.gz"}),
        _pairs("bq", "BQ, bank questions", {"dev": "bq/dev.jsonl.gz", "test": "bq/test.jsonl.gz"}),
        _pairs("atec", "ATEC, payment questions", {"train": "atec/train.jsonl.gz"}),
        _pairs("afqmc", "AFQMC, payment questions", {"train": "afqmc/train.json", "dev": "afqmc/dev.json"}),
        _pairs("pawsx", "PAWS-X in Chinese", {split: f"pawsx/{split}.jsonl" for split in ("train", "dev", "test")}),
        _pairs(
            "chip_sts",
            "CHIP-STS, medical questions",
            {"train": "chip-sts/train.jsonl.gz", "dev": "chip-sts/dev.jsonl"},
            "text1 text2 label",
        ),
        _pairs(
            "sohu_a",
            "Sohu 2021, same topic",
            {"train": "sohu-a-ss/train.jsonl.gz", "dev": "sohu-a-ss/valid.jsonl"},
            "source target label",
        ),
        _pairs(
            "sohu_b",
            "Sohu 2021, same event",
            {"train": "sohu-b-ss/train.jsonl.gz", "dev": "sohu-b-ss/valid.jsonl"},
            "source target label",
        ),
        _pairs(
            "kuake_qtr",
            "KUAKE, medical query and title, 0 to 3",
            {"train": "kuake-qtr/train.jsonl.gz", "dev": "kuake-qtr/dev.jsonl"},
            "query title label",
            highest=3.0,
        ),
        _pairs(
            "qbqtc",
            "QBQTC, query and title, 0 to 2",
            {"dev": "qbqtc/dev.jsonl.gz", "test": "qbqtc/test_public.jsonl.gz"},
            "query title label",
            highest=2.0,
            source="CLUEbenchmark/QBQTC",
        ),
        _pairs(
            "simclue_pair",
            "SimCLUE, labelled pairs",
            {"train": "simclue/train_pair_1w.jsonl.gz", "test": "simclue/test_public.jsonl.gz"},
            source="CLUEbenchmark/SimCLUE",
        ),
        SentenceSet(
            "simclue_positive",
            "SimCLUE, positive pairs",
            "triples",
            ("query", "title"),
            {"train": "simclue/train_pair_postive_1w.jsonl.gz"},
            source="CLUEbenchmark/SimCLUE",
        ),
        SentenceSet(
            "simclue_rank",
            "SimCLUE, triples",
            "triples",
            ("query", "title", "neg_title"),
            {"train": "simclue/train_rank_1w.jsonl.gz"},
            source="CLUEbenchmark/SimCLUE",
        ),
        SentenceSet(
            "triclue",
            "TriCLUE, which of two is closer",
            "choice",
            ("sentence_0", "sentence_1", "sentence_2", "label"),
            {"train": "triclue/train.jsonl.gz", "dev": "triclue/dev.jsonl", "test": "triclue/test.jsonl"},
            source="CLUEbenchmark/SimCLUE",
        ),
        SentenceSet(
            "bge_stsb",
            "STS-B with mined negatives",
            "triples",
            ("query", "pos", "neg"),
            {"train": "bge_stsb_hardneg/train.jsonl.gz"},
            licence="Apache-2.0",
            source="shibing624/text2vec",
        ),
        _nli(
            "snli",
            "SNLI in Chinese",
            {"train": "snli-zh/train.jsonl.gz", "dev": "snli-zh/dev.jsonl.gz", "test": "snli-zh/test.jsonl.gz"},
            "pluto-junzeng/CNSD",
        ),
        _nli(
            "cnli",
            "CNLI, CCL 2018",
            {"train": "cnli/train.jsonl.gz", "dev": "cnli/dev.jsonl.gz", "test": "cnli/test.jsonl.gz"},
            "blcunlp/CNLI",
        ),
        _nli("cinlid", "CINLID, idioms", {"train": "cinlid/idiom_nli.jsonl.gz"}, "zejunwang1/CSTS"),
        SentenceSet(
            "dureader",
            "DuReader, question and passage",
            "passages",
            ("question", "context"),
            {
                "train": "dureader/checklist_train.jsonl.gz",
                "dev": "dureader/checklist_dev.jsonl.gz",
                "test": "dureader/robust_dev.jsonl.gz",
            },
            licence="Apache-2.0",
            source="baidu/DuReader",
        ),
    )
}
"""Sets by name, in the layout of the data folder; the source of a file's split is its own."""


def find_set(name: str) -> SentenceSet:
    """Return a row of the table, or a description of a user's own JSON-lines file.

    A file's first row tells its kind: `anchor, positive[, negative]` are triples, `sentence1, sentence2, score` (or
    `label`, both from 0 to 1) are scored pairs, `query, passage` are passages.

    Raises:
        ValueError: If the name is unknown and no file, or the file's fields are none of these.
    """
    if name in SENTENCE_SETS:
        return SENTENCE_SETS[name]
    path = Path(name)
    if not path.is_file():
        raise ValueError(f"'{name}' is neither a file nor one of {', '.join(SENTENCE_SETS)}")
    location, row = next(read_json_rows(path), (f"{path}:1", {}))
    forms: tuple[tuple[Kind, tuple[str, ...]], ...] = (
        ("triples", ("anchor", "positive", "negative")),
        ("triples", ("anchor", "positive")),
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


def read_rows(one: SentenceSet, split: str, folder: str | Path) -> ReadRows:
    """Read a split of a set, checked row by row.

    Args:
        one: The set.
        split: "train", "dev" or "test".
        folder: Folder that the set's files are relative to.

    Raises:
        FileNotFoundError: If the set has no such split or its file is missing.
        ValueError: With file and line, for a missing field, an empty text, a label out of range, or no usable row.
    """
    if split not in one.files:
        raise FileNotFoundError(f"{one.name} has no split '{split}'; it has {', '.join(one.files)}")
    path = Path(folder) / one.files[split]
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: the {split} split of {one.name} ({one.source or one.title})")
    found = ReadRows()
    READERS[one.kind](read_json_rows(path), one, found)
    if not found.pairs and not found.triples:
        raise ValueError(f"{path} gives no pair: {found.dropped or 'the file is empty'}")
    if found.dropped:
        logger.info("%s %s: passed by %s", one.name, split, found.dropped)
    return found


Rows = Iterator[tuple[str, dict[str, Any]]]


def _read_scores(rows: Rows, one: SentenceSet, found: ReadRows) -> None:
    """Read scored pairs, and triples from what is clearly similar, with clearly different texts as negatives."""
    first, second, score = one.fields
    for location, row in rows:
        if str(row.get(score)) in ("-", "-1"):
            found.drop("no gold label")
            continue
        value = _number(row, score, location, one.highest)
        found.pairs.append(ScoredPair(_text(row, first, location), _text(row, second, location), value / one.highest))
    found.triples = triples_from_pairs(found.pairs)


def _read_triples(rows: Rows, one: SentenceSet, found: ReadRows) -> None:
    for location, row in rows:
        anchor, *others = one.fields
        texts = [_texts(row, name, location) for name in others]
        negatives = texts[1] if len(texts) > 1 else ()
        for positive in texts[0]:
            if positive == row[anchor]:
                found.drop("the positive is the anchor")
                continue
            kept = tuple(text for text in negatives if text != positive)
            found.triples.append(Triple(_text(row, anchor, location), positive, kept))


def _read_inference(rows: Rows, one: SentenceSet, found: ReadRows) -> None:
    """Read premises with what follows from them as positives and what contradicts them as negatives."""
    by_premise: dict[str, tuple[list[str], list[str]]] = {}
    for location, row in rows:
        premise, hypothesis = (_text(row, name, location) for name in one.fields[:2])
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
        found.triples.extend(Triple(premise, text, tuple(negatives)) for text in positives if text != premise)


def _read_choice(rows: Rows, one: SentenceSet, found: ReadRows) -> None:
    anchor, first, second, label = one.fields
    for location, row in rows:
        if row.get(label) not in (1, 2, "1", "2"):
            raise ValueError(f"{location}: {label} is {row.get(label)!r}, wanted 1 or 2: which text is closer")
        nearer, farther = (_text(row, name, location) for name in (first, second))
        if str(row[label]) == "2":
            nearer, farther = farther, nearer
        found.triples.append(Triple(_text(row, anchor, location), nearer, (farther,)))


def _read_passages(rows: Rows, one: SentenceSet, found: ReadRows) -> None:
    for location, row in rows:
        query, passage = (_text(row, name, location) for name in one.fields)
        found.triples.append(Triple(query, passage))


READERS: dict[str, Callable[[Rows, SentenceSet, ReadRows], None]] = {
    "scores": _read_scores,
    "triples": _read_triples,
    "inference": _read_inference,
    "choice": _read_choice,
    "passages": _read_passages,
}


def triples_from_pairs(
    pairs: Sequence[ScoredPair], positive: float = POSITIVE_SCORE, negative: float = NEGATIVE_SCORE
) -> list[Triple]:
    """Return a triple for each pair at `positive` or above; its negatives are texts scored `negative` or below.

    A pair that is not similar gives its second text as a negative of its first, and the reverse; a text without any
    positive gives nothing. Pairs in between are left out: they say neither.
    """
    against: dict[str, dict[str, None]] = {}
    for pair in pairs:
        if pair.score <= negative:
            against.setdefault(pair.first, {})[pair.second] = None
            against.setdefault(pair.second, {})[pair.first] = None
    return [
        Triple(pair.first, pair.second, tuple(text for text in against.get(pair.first, {}) if text != pair.second))
        for pair in pairs
        if pair.score >= positive and pair.first != pair.second
    ]


def _text(row: Mapping[str, Any], name: str, location: str) -> str:
    """Return a field's text, checked."""
    value = row.get(name)
    if not isinstance(value, str):
        given = f"is {type(value).__name__}" if name in row else f"is missing (fields: {', '.join(row)})"
        raise ValueError(f"{location}: field '{name}' {given}, wanted text")
    if not value.strip():
        raise ValueError(f"{location}: field '{name}' is empty; a pair needs two texts")
    check_encodable(value, location)
    return value


def _texts(row: Mapping[str, Any], name: str, location: str) -> tuple[str, ...]:
    """Return a field that holds one text or a list of them."""
    value = row.get(name)
    if not isinstance(value, list):
        return (_text(row, name, location),)
    return tuple(_text({name: one}, name, location) for one in value)


def _number(row: Mapping[str, Any], name: str, location: str, highest: float) -> float:
    """Return a field's number within 0 and `highest`."""
    try:
        value = float(row[name])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{location}: field '{name}' is {row.get(name)!r}, wanted a number") from None
    if not 0 <= value <= highest:
        raise ValueError(f"{location}: {name}={value:g} is outside 0 to {highest:g}")
    return value
