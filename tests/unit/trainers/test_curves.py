import json
from pathlib import Path

import pytest

from chinese_modernbert.trainers.curves import draw_curves
from chinese_modernbert.trainers.training_log import LOG_FILE


def write_log(folder: Path, records: list[dict[str, float]]) -> None:
    (folder / LOG_FILE).write_text("".join(json.dumps(record) + "\n" for record in records))


def test_a_picture_is_drawn_from_a_run(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    training = [
        {
            "step": s,
            "loss": 9 - s / 20,
            "learning_rate": 1e-3,
            "mask_rate": 0.2,
            "mask_rate_target": 0.2,
            "stage": s // 60,
        }
        for s in range(1, 100)
    ]
    write_log(tmp_path, [*training, {"step": 99, "eval_loss": 5.0, "eval_unigram_loss": 7.0}])
    picture = draw_curves(tmp_path, tmp_path / "pictures" / "curves.png", title="A run")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert 5_000 < picture.stat().st_size < 150_000


def test_a_log_without_training_steps_is_refused(tmp_path: Path) -> None:
    write_log(tmp_path, [{"step": 0, "eval_loss": 1.0}])
    with pytest.raises(ValueError, match="no training step"):
        draw_curves(tmp_path, tmp_path / "curves.png")


def test_a_run_without_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        draw_curves(tmp_path, tmp_path / "curves.png")
