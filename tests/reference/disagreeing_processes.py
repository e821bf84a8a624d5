"""Run by torchrun in tests: process 1 fails, or sees another value, where process 0 does not; one line for each case.

Words: a folder, for `said-RANK.txt`.
"""

import os
import sys
from pathlib import Path

from accelerate import PartialState

from chinese_modernbert.runtime.process_end import ends_at_once
from chinese_modernbert.runtime.processes import on_every_process, on_main_process, require_agreement


@ends_at_once
def main(folder: str) -> None:
    """Meet each case and write down what was raised."""
    PartialState(cpu=True)
    rank = int(os.environ["RANK"])
    said = []

    def fail_on_one() -> None:
        if rank == 1:
            raise FileNotFoundError("shards: no manifest")

    def write() -> None:
        (Path(folder) / f"written-{rank}").touch()

    for work in (
        lambda: on_every_process(fail_on_one),
        lambda: require_agreement({"seed": 3, "shards": rank}),
        lambda: on_main_process(write),
        lambda: said.append((Path(folder) / "written-0").exists()),
        lambda: said.append(on_every_process(lambda: rank)),
    ):
        try:
            work()
        except Exception as error:
            said.append(f"{type(error).__name__}: {error}")
    (Path(folder) / f"said-{rank}.txt").write_text("\n".join(map(str, said)))


if __name__ == "__main__":
    main(sys.argv[1])
