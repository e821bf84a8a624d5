"""The table of sentence sets: where each lies, which fields it has, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["scores", "triplets", "inference", "choice", "passages", "ranking"]
FIELDS_OF_KIND: dict[str, int] = {"scores": 3, "triplets": 2, "inference": 3, "choice": 4, "passages": 2, "ranking": 0}


@dataclass(frozen=True)
class SentenceSet:
    """One set of sentence pairs.

    Attributes:
        name: Name in `SENTENCE_SETS` or the file's name.
        title: What it is, in a few words.
        kind: `scores` (two texts, a number), `triplets` (anchor, positive, and a negative or a list of them),
            `inference` (premise, hypothesis, label), `choice` (anchor, two texts, which of them is closer),
            `passages` (query, passage that answers it) or `ranking` (a folder of files, `t2ranking`).
        fields: Names of the fields in the order of the kind.
        files: Split -> file, relative to the folder of the data.
        highest: Label that means "the same"; 0 is always the lowest.
        licence: Licence as stated by its source.
        source: Where it comes from.
        clue_task: Name of the CLUE task whose archive, in the folder of the data or next to it, holds the files.
    """

    name: str
    title: str
    kind: Kind
    fields: tuple[str, ...]
    files: Mapping[str, str]
    highest: float = 1.0
    licence: str = "none stated"
    source: str = ""
    clue_task: str = ""


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
        _pairs(
            "afqmc",
            "AFQMC, payment questions",
            {"train": "train.json", "dev": "dev.json"},
            source="CLUEbenchmark/CLUE",
            clue_task="afqmc",
        ),
        _pairs(
            "pawsx",
            "PAWS-X in Chinese",
            {
                "train": "x-final/zh/translated_train.tsv",
                "dev": "x-final/zh/dev_2k.tsv",
                "test": "x-final/zh/test_2k.tsv",
            },
            licence="free for any purpose",
            source="google-research-datasets/paws",
        ),
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
            "triplets",
            ("query", "title"),
            {"train": "simclue/train_pair_postive_1w.jsonl.gz"},
            source="CLUEbenchmark/SimCLUE",
        ),
        SentenceSet(
            "simclue_rank",
            "SimCLUE, triplets",
            "triplets",
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
            "triplets",
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
            "t2ranking",
            "T2Ranking, query and passage",
            "ranking",
            (),
            {"train": "t2ranking", "dev": "t2ranking"},
            source="THUIR/T2Ranking",
        ),
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
