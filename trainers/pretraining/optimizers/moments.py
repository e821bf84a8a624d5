"""The moments of another run's optimizer, for a run that goes on from its weights under a schedule of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

OPTIMIZER_FILE = "optimizer.pt"
# What a schedule adds to every group.
SCHEDULED = "initial_lr"


def take_moments(optimizer: Optimizer, checkpoint: Path) -> None:
    """Give an optimizer the moments that a checkpoint holds; learning rates and decay stay its own.

    Args:
        optimizer: of the same kind, over the same parameters, as the one that was saved
        checkpoint: folder of a checkpoint

    Raises:
        ValueError: If its moments are of another optimizer, or of other parameters.
    """
    file = checkpoint / OPTIMIZER_FILE
    given: Any = torch.load(file, map_location="cpu", weights_only=True)
    own = optimizer.state_dict()
    # What a group is made of tells the kinds of optimizers apart.
    kinds = [
        [(sorted(group.keys() - {SCHEDULED}), len(group["params"])) for group in one["param_groups"]]
        for one in (own, given)
    ]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"{file} is of another optimizer or model: its groups have {_sizes(given)} parameters, those here "
            f"{_sizes(own)}; give the optimizer and the weight decay of that run, or leave out take_optimizer"
        )
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, parameter in enumerate(parameters):
        for name, moment in given["state"].get(number, {}).items():
            if isinstance(moment, torch.Tensor) and moment.ndim and moment.shape != parameter.shape:
                raise ValueError(
                    f"{file}: '{name}' of parameter {number} is {tuple(moment.shape)}, expected "
                    f"{tuple(parameter.shape)}; give the tokenizer of that run, or leave out take_optimizer"
                )
    optimizer.load_state_dict({"state": given["state"], "param_groups": own["param_groups"]})


def check_moments(checkpoint: Path) -> None:
    """Refuse a folder that holds no moments of one process.

    Raises:
        FileNotFoundError: If it has no such file: only `checkpoint-N` has, `final` has not, nor have sharded runs.
    """
    if not (checkpoint / OPTIMIZER_FILE).is_file():
        raise FileNotFoundError(
            f"take_optimizer: true, but {checkpoint} holds no {OPTIMIZER_FILE}; give the checkpoint-N of a run as model"
        )


def _sizes(state: dict[str, Any]) -> list[int]:
    return [len(group["params"]) for group in state["param_groups"]]
