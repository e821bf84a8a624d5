"""The pairs of a run: read, cleared of what dev and test hold, and split."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...evaluation.spelling import SpellingPair, read_spelling_pairs
from ...evaluation.spelling.pairs import FIELDS
from ..leakage import find_leaks
from .arguments import SpellingArguments

logger = logging.getLogger(__name__)

HELD_OUT = "dev"


@dataclass(frozen=True)
class RunPairs:
    """The pairs of all seeds.

    Attributes:
        train: those that train
        dev: those that choose epoch and threshold
        test: by name of the file
        left_out: training pairs of which dev or test holds a text, exactly or nearly
    """

    train: list[SpellingPair]
    dev: list[SpellingPair]
    test: dict[str, list[SpellingPair]]
    left_out: int

    def digest(self) -> str:
        """Return 16 hexadecimal digits that name the pairs and their order."""
        parts = (self.train, self.dev, *(pairs for _, pairs in sorted(self.test.items())))
        content = "\0".join("\n".join(f"{source}\t{target}" for source, target in part) for part in parts)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def read_run_pairs(arguments: SpellingArguments) -> RunPairs:
    """Read the pairs of a run; the share that is held out does not depend on the seed.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: With file and line, for a wrong one; if two test files have one name or one is called dev, nothing
            is left to train on, or dev has no clean sentence or none with an error.
    """
    train = _read(arguments.train, arguments)
    test = {Path(name).name.partition(".")[0]: _read([name], arguments) for name in arguments.test}
    if len(test) != len(arguments.test) or HELD_OUT in test:
        raise ValueError(
            f"test={', '.join(arguments.test)}: the report needs a name for each that is no other's and not "
            f"'{HELD_OUT}'; rename a file"
        )
    if arguments.dev:
        dev = _read(arguments.dev, arguments)
    else:
        order = np.random.default_rng(0).permutation(len(train))
        held_out = set(order[: max(1, round(arguments.dev_share * len(train)))].tolist())
        dev = [train[number] for number in sorted(held_out)]
        train = [pair for number, pair in enumerate(train) if number not in held_out]
    clean = sum(source == target for source, target in dev)
    if clean in (0, len(dev)):
        raise ValueError(
            f"{clean} of {len(dev)} dev pairs are clean; the threshold needs sentences without and with errors"
        )
    # A target of the test that trains gives the answer away, whatever its source looks like.
    compared = FIELDS if arguments.leakage_of == "pairs" else FIELDS[:1]
    held_out = {name: _texts(pairs, compared) for name, pairs in ({HELD_OUT: dev} | test).items()}
    leaks = find_leaks({"train": _texts(train, compared)}, held_out, arguments.leakage_similarity)
    kept = [pair for pair in train if leaks.texts.isdisjoint(_texts([pair], compared))]
    left_out = len(train) - len(kept)
    logger.info("%d training pairs, %d dev, %d left out: %s", len(kept), len(dev), left_out, leaks.summary())
    if not kept:
        raise ValueError("dev and test hold a text of every pair of train; give other pairs to train on")
    return RunPairs(kept, dev, test, left_out)


def _texts(pairs: Sequence[SpellingPair], fields: Sequence[str]) -> list[str]:
    """Return the texts of some fields of pairs, each once."""
    return list(dict.fromkeys(getattr(pair, field) for pair in pairs for field in fields))


def _read(files: Sequence[str], arguments: SpellingArguments) -> list[SpellingPair]:
    return [pair for name in files for pair in read_spelling_pairs(name, arguments.unequal)]
