import json
import struct
from pathlib import Path
from typing import Any

import pytest

from chinese_modernbert.cli import main
from chinese_modernbert.runtime.pictures import DOTS_PER_INCH
from chinese_modernbert.trainers.pretraining import curves
from chinese_modernbert.trainers.pretraining.curves import draw_comparison, draw_curves
from chinese_modernbert.trainers.pretraining.log import LOG_FILE


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


def height_of(picture: Path) -> int:
    # A PNG starts with an 8-byte signature and a header chunk: length, name, width, height.
    return struct.unpack(">II", picture.read_bytes()[16:24])[1]


def test_an_evaluated_run_has_one_panel_more(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    training = [{"step": step, "loss": 5.0, "learning_rate": 1e-3} for step in (1, 2)]
    write_log(tmp_path, training)
    plain = height_of(draw_curves(tmp_path, tmp_path / "plain.png"))
    write_log(tmp_path, [*training, {"step": 2, "eval_loss": 5.0, "eval_token_accuracy": 0.1}])
    evaluated = height_of(draw_curves(tmp_path, tmp_path / "evaluated.png"))
    assert evaluated - plain == curves.PANEL_INCHES * DOTS_PER_INCH


def test_every_stage_is_named_over_its_own_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    figures: list[Any] = []
    monkeypatch.setattr(curves, "save_picture_atomically", lambda figure, target: figures.append(figure) or target)
    stages = {10: 1, 20: 1, 30: 2, 40: 2, 50: 3}
    write_log(
        tmp_path, [{"step": s, "loss": 5.0, "stage": stage, "positions_seen": 8 * s} for s, stage in stages.items()]
    )
    draw_curves(tmp_path, tmp_path / "curves.png")
    axes = figures[0].axes
    names = {text.get_text(): text.get_position()[0] for text in axes[0].texts}
    assert names == {"stage 1": 17.5, "stage 2": 35.0, "stage 3": 47.5}
    borders = [line.get_xdata()[0] for line in axes[0].lines if len(set(line.get_xdata())) == 1]
    assert borders == [25.0, 45.0]
    assert axes[-1].get_xlabel() == "optimizer step of 8 positions"


def test_masked_and_next_tokens_have_curves_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    figures: list[Any] = []
    monkeypatch.setattr(curves, "save_picture_atomically", lambda figure, target: figures.append(figure) or target)
    lines = [
        {"step": 1, "loss": 5.0, "loss_mlm": 5.0, "causal_share": 0.0},
        {"step": 2, "loss": 5.5, "loss_mlm": 4.0, "loss_causal": 7.0, "causal_share": 0.5},
        {"step": 3, "loss": 6.0, "loss_causal": 6.0, "causal_share": 1.0},
    ]
    write_log(tmp_path, lines)
    draw_curves(tmp_path, tmp_path / "curves.png")
    draw_comparison([tmp_path], tmp_path / "both.png")
    masked, causal = ([*zip(*line.get_data(), strict=True)] for line in figures[0].axes[0].lines)
    assert masked == [(1, 5.0), (2, 4.0)] and causal == [(2, 7.0), (3, 6.0)]
    assert figures[1].axes[0].lines[0].get_ydata().tolist() == [5.0, 4.0]


def test_a_log_without_training_steps_is_refused(tmp_path: Path) -> None:
    write_log(tmp_path, [{"step": 0, "eval_loss": 1.0}])
    with pytest.raises(ValueError, match="no training step"):
        draw_curves(tmp_path, tmp_path / "curves.png")


def test_a_run_without_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        draw_curves(tmp_path, tmp_path / "curves.png")


def test_runs_are_compared_under_names_that_tell_them_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    figures: list[Any] = []
    monkeypatch.setattr(curves, "save_picture_atomically", lambda figure, target: figures.append(figure) or target)
    for name, loss in (("first", 5.0), ("second", 4.0)):
        (tmp_path / name).mkdir()
        write_log(tmp_path / name, [{"step": s, "loss": loss, "learning_rate": 1e-3} for s in (1, 2)])
    draw_comparison([tmp_path / "first", tmp_path / "second" / LOG_FILE], tmp_path / "both.png")
    panels = figures[0].axes
    assert [line.get_label() for line in panels[0].lines] == ["first", "second"]
    assert [float(line.get_ydata()[0]) for line in panels[0].lines] == [5.0, 4.0] and len(panels) == 2
    with pytest.raises(ValueError, match="a run is given twice"):
        draw_comparison([tmp_path / "first"] * 2, tmp_path / "both.png")


def test_the_command_draws_without_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    write_log(tmp_path, [{"step": s, "loss": 5.0, "learning_rate": 1e-3} for s in (1, 2)])
    assert main(["pretrain", "plot", str(tmp_path)]) == 0
    assert (tmp_path / "curves.png").is_file() and "curves.png" in capsys.readouterr().out
    assert main(["pretrain", "plot", str(tmp_path / "missing")]) == 2
    assert "is not there; give the folder of a run" in capsys.readouterr().err
