import json
from pathlib import Path
from typing import Any

import pytest

from chinese_modernbert.trainers.pretraining.log import LOG_FILE
from chinese_modernbert.trainers.pretraining.progress_command import (
    RECENT_LINES,
    ProgressArguments,
    describe_progress,
    run_progress,
)


def line(step: int, positions: int, speed: float, **values: float) -> dict[str, Any]:
    return {
        **{"step": step, "loss": 5.0, "positions_seen": positions},
        **{"tokens_per_second": speed, "packing_efficiency": 0.5, **values},
    }


def test_a_line_counts_positions_epochs_and_the_hours_that_are_left() -> None:
    records = [line(100, 800_000, 1_000.0), {"step": 100, "eval_loss": 6.0}, line(200, 1_600_000, 1_000.0, loss=4.25)]
    # 800 steps are left, of 8,000 positions each, and 1,000 tokens/s in half-filled rows are 2,000 positions/s.
    assert 800 * 8_000 / 2_000 / 3_600 == pytest.approx(0.889, abs=1e-3)
    assert describe_progress(records, 1_000, tokens=3_200_000) == (
        "20.0 % of 1,000 steps: 1,600,000 positions (0.50 epochs); loss 4.250 (evaluation 6.000 at 100); "
        "2,000 positions/s, 0.9 hours left"
    )


def test_steps_to_come_are_as_large_as_the_last_ones_where_the_batch_grew() -> None:
    grown = [line(10, 1_000, 1_000.0), line(20, 1_000 + 10 * 7_200, 1_000.0)]
    assert describe_progress(grown, 10_020).endswith(f"{10_000 * 7_200 / 2_000 / 3_600:.1f} hours left")


def test_the_speed_is_the_median_of_recent_lines() -> None:
    old = [line(step, step, 1e9) for step in range(1, 50)]
    recent = [line(50 + step, 50 + step, 100.0) for step in range(RECENT_LINES)]
    recent[3]["tokens_per_second"] = 1.0
    assert "; 200 positions/s" in describe_progress([*old, *recent], 1_000)


def test_a_run_that_has_begun_says_so() -> None:
    assert describe_progress([{"step": 5, "eval_loss": 9.0}], 1_000) == "0.0 % of 1,000 steps; nothing is logged yet"


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no run of pretrain; give the output_dir of one"):
        run_progress(ProgressArguments(str(tmp_path)))
    with pytest.raises(ValueError, match="no run is given"):
        ProgressArguments()


def test_a_run_goes_on_and_finishes(tmp_path: Path) -> None:
    (tmp_path / "pretraining.json").write_text('{"max_steps": 10}')
    assert run_progress(ProgressArguments(str(tmp_path))) == "0.0 % of 10 steps; nothing is logged yet"
    (tmp_path / LOG_FILE).write_text(json.dumps(line(5, 40, 20.0)) + "\n")
    assert run_progress(ProgressArguments(str(tmp_path))).endswith("0.0 hours left; last line 0 minutes ago")
    (tmp_path / "checkpoint-5").mkdir()  # without its seal: damaged, or being deleted
    (tmp_path / "checkpoint-5" / "run_record.json").write_text('{"data": {"tokens": 160}}')
    assert "(0.25 epochs)" in run_progress(ProgressArguments(str(tmp_path)))
    (tmp_path / "final").mkdir()
    (tmp_path / "final" / "run_record.json").write_text('{"data": {"tokens": 80}}')
    assert "(0.50 epochs)" in (found := run_progress(ProgressArguments(str(tmp_path))))
    assert found.endswith("left; finished")
