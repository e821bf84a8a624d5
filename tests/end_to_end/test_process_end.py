"""A process of several ends, with its exit code, however late gloo's threads let go of their last work."""

import subprocess
import sys
from pathlib import Path

import pytest

from chinese_modernbert.runtime.process_end import EXIT_CODES
from reference.processes import finish, start

PROGRAM = Path(__file__).parents[1] / "reference" / "ending_process.py"


@pytest.mark.skipif(sys.platform != "linux", reason="takes time away from single threads of a process")
@pytest.mark.parametrize(("way", "code"), [("return", 3), ("exit", 75), ("fail", 1)])
@pytest.mark.parametrize("repetition", range(2))
def test_a_process_with_starved_threads_ends_with_its_code(
    tmp_path: Path, way: str, code: int, repetition: int
) -> None:
    record, said = tmp_path / "codes", tmp_path / "said.txt"
    words = [sys.executable, str(PROGRAM)]
    with said.open("w") as output:
        options = {"stdout": output, "stderr": subprocess.STDOUT}
        environment = {EXIT_CODES: str(record), "OMP_NUM_THREADS": "1"}
        pair = [start([*words, str(n), str(tmp_path / "meeting"), way], environment, **options) for n in range(2)]
        assert finish(pair) == [code, code], said.read_text()
    assert record.read_text() == f"{code}\n" * 2
    assert said.read_text().count("ValueError: what went wrong") == 2 * (way == "fail")
