"""The comparison is fair: equal weights, equal numbers, real tokens; no time is asserted."""

import gzip
import json
from pathlib import Path

import pytest
import torch

from chinese_modernbert.cli import main
from chinese_modernbert.demo import speed as model_speed
from chinese_modernbert.demo.speed import SpeedArguments, make_batch, real_lengths, run_model_speed
from chinese_modernbert.modeling import ChineseModernBertConfig
from chinese_modernbert.trainers.pretraining.throughput import Workload, training_flops

SHORT = {"short": [3, 70, 141]}


@pytest.mark.parametrize("training", [False, True])
def test_both_models_give_the_same_numbers_and_real_tokens_are_counted(
    training: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_speed, "CASES", SHORT)
    args = SpeedArguments(
        "tiny", ["short"], device="cpu", repeats=1, training=training, output_dir=str(tmp_path / "new")
    )
    told = run_model_speed(args)
    record = json.loads((tmp_path / "new" / "speed.json").read_text(encoding="utf-8"))
    (row,) = record["rows"]
    assert row["largest_difference"] < 1e-5
    assert row["tokens"] == 3 + 70 + 141 and row["ratio_min"] == row["ratio"] == row["ratio_max"]
    assert f"| short | float32 | {'training step' if training else 'forward'} | {row['ratio']:.3f} (" in told
    assert record["settings"]["model"] == "tiny" and "torch" in record["environment"]
    work = Workload()
    for length in SHORT["short"]:
        work.add(torch.zeros(1, length, dtype=torch.int64).numpy(), 0, 64)
    work.masked = round(0.3 * row["tokens"]) if training else 0
    config = ChineseModernBertConfig.preset("tiny", norm_type="layernorm")
    operations = training_flops(config, work) / (1 if training else 3)
    expected = operations * row["ours_tokens_per_second"] / row["tokens"] / 1e12
    assert row["ours_tflops"] == pytest.approx(expected, abs=1e-4)


def test_lengths_are_those_of_every_29th_text_where_there_are_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "corpus").mkdir()
    with gzip.open(tmp_path / "corpus" / "validation.jsonl.gz", "wt", encoding="utf-8") as stream:
        for number in range(60):
            stream.write(json.dumps({"text": "字" * (1 if number == 0 else 100 * number)}) + "\n")
    monkeypatch.setenv("CHINESE_MODERNBERT_DATA", str(tmp_path))
    assert real_lengths(16) == [3, 1024, 1024]
    monkeypatch.delenv("CHINESE_MODERNBERT_DATA")
    ids, mask = make_batch("mixed")
    assert len(ids) == 16 and mask.sum(dim=1).tolist() == real_lengths(16)
    assert not ids[mask == 0].any() and (ids[mask == 1] >= 5).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cases", "medium"], "cases: 'medium' is unknown; use mixed, short"),
        (["--dtypes", "int8"], "dtypes: 'int8' is unknown"),
        (["--model", "huge"], "model: 'huge' is unknown; use tiny"),
        (["--repeats", "0"], "repeats=0 measures nothing"),
    ],
)
def test_a_wrong_option_is_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", *words]) == 2
    assert message in capsys.readouterr().err
