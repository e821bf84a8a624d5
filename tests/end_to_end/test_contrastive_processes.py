"""Two processes give the loss, the gradients and the batches of one; no text twice in a batch that spans both."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from chinese_modernbert.trainers.contrastive.trainer import share_batches
from reference.contrastive_processes import TRAINING, loss_and_gradients, settings, train, work
from reference.tiny_checkpoint import write_tiny_checkpoint
from reference.torchrun import finish, start
from reference.two_processes import run_two


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_checkpoint(tmp_path_factory.mktemp("model") / "checkpoint"))


@pytest.fixture(scope="module")
def found(checkpoint: str, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("two")
    run_two(work, checkpoint, str(folder))
    return [torch.load(folder / f"rank-{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("cached", [None, 8])
@pytest.mark.parametrize("count", [2, 3])
def test_loss_and_gradients_of_two_processes_are_those_of_one(
    found: list[dict[str, Any]], checkpoint: str, tmp_path: Path, cached: int | None, count: int
) -> None:
    expected, gradients = loss_and_gradients(settings(checkpoint, tmp_path), count, slice(None))
    for one in found:
        value, summed = one[f"{cached} {count}"]
        assert value == pytest.approx(expected, abs=1e-5)
        torch.testing.assert_close(summed, gradients, atol=1e-5, rtol=1e-4)


def test_a_batch_over_two_processes_holds_no_text_twice_and_comes_from_one_set(found: list[dict[str, Any]]) -> None:
    assert len(found[0]["batches"]) == len(found[1]["batches"]) > 10
    for one, other in zip(found[0]["batches"], found[1]["batches"], strict=True):
        assert one["columns"] == other["columns"]  # triplets have more columns than pairs
        texts = [text for batch in (one, other) for column in batch["texts"] for text in column]
        assert len(texts) == 2 * 16 and len(set(texts)) == len(texts)


def test_training_on_two_processes_is_training_on_one(
    found: list[dict[str, Any]], checkpoint: str, tmp_path: Path
) -> None:
    batches, weights = train(settings(checkpoint, tmp_path, **TRAINING))
    for number, batch in enumerate(batches):
        halves = [one["batches"][number]["texts"] for one in found]
        assert [sum(columns, []) for columns in zip(*halves, strict=True)] == batch["texts"]
    for one in found:
        torch.testing.assert_close(one["weights"], weights, atol=1e-5, rtol=1e-3)


def test_the_command_on_two_processes_writes_one_report(checkpoint: str, tmp_path: Path) -> None:
    triplets = [{"anchor": f"问{n}", "positive": f"答{n}"} for n in range(32)]
    held = [{"sentence1": f"第{n}", "sentence2": f"第{n + n % 2}个", "score": n % 2} for n in range(20)]
    for name, rows in (("triplets", triplets), ("held", held)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = {
        "model": checkpoint,
        "data": str(tmp_path),
        "stages": [{"data": [str(tmp_path / "triplets.jsonl")], "batch_size": 8}],
        "evaluation": [str(tmp_path / "held.jsonl")],
        "output_dir": str(tmp_path / "run"),
        "bootstrap_resamples": 5,
        "baselines": False,
        "use_cpu": True,
        "ddp_backend": "gloo",
        "report_to": "none",
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    words = ["-m", "chinese_modernbert.cli", "sts", "--config", str(tmp_path / "recipe.yaml")]
    assert finish(start(words, tmp_path)) == [0], (tmp_path / "err-0.txt").read_text()[:3000]
    rows = json.loads((tmp_path / "run" / "report.json").read_text("utf-8"))["encoders"]
    assert [row["name"] for row in rows][-2:] == ["before training", "stage 1, in_batch_negatives"]
    assert (tmp_path / "run" / "final" / "modules.json").is_file()


def test_a_batch_that_cannot_be_shared_is_refused(checkpoint: str, tmp_path: Path) -> None:
    given = settings(checkpoint, tmp_path, per_device_train_batch_size=15)
    with pytest.raises(ValueError, match="batch_size=15 is no multiple of the 2 processes"):
        share_batches(given, world_size=2)
