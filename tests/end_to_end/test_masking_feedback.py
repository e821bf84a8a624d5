"""Feedback tables and the masks that follow them are alike on one and two processes."""

from pathlib import Path

import torch

from reference.feedback_training import result, train, train_as_process
from reference.two_processes import run_two


def spawn(folder: Path, resume: str | None = None) -> list[dict[str, torch.Tensor]]:
    run_two(train_as_process, str(folder), resume)
    name = "resumed" if resume else "rank"
    return [torch.load(folder / f"{name}-{rank}.pt") for rank in range(2)]


def test_two_processes_have_the_tables_and_the_masks_of_one(tmp_path: Path) -> None:
    one = result(train(tmp_path / "one", 8))
    first, second = spawn(tmp_path / "two")
    for name in one:
        if name.startswith("table"):
            assert torch.equal(first[name], second[name]), name
            torch.testing.assert_close(first[name], one[name], rtol=1e-6, atol=0)
    together = torch.cat([first["labels"], second["labels"]], dim=1)
    for ours, whole in zip(together, one["labels"], strict=True):
        assert sorted(map(bytes, ours.numpy())) == sorted(map(bytes, whole.numpy()))
    torch.testing.assert_close(first["weights"], one["weights"], rtol=1e-3, atol=1e-4)
    # A checkpoint between two commits holds the counts of both.
    for rank, resumed in enumerate(spawn(tmp_path / "two", str(tmp_path / "two" / "checkpoint-3"))):
        straight = (first, second)[rank]
        assert torch.equal(resumed["labels"], straight["labels"][3:])
        assert all(torch.equal(resumed[name], straight[name]) for name in one if name.startswith("table"))
