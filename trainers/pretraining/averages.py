"""An exponential moving average of the weights, in float32, saved with every checkpoint."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.distributed.tensor import DTensor, Replicate
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ..after_step import AfterStep
from ..soundness import own_part

AVERAGED_WEIGHTS = "averaged_weights.safetensors"
UPDATES = "updates"


class WeightAveraging(AfterStep):
    """Averages the trained weights after each step, once whatever else follows a step has changed them.

    The first step gives the weights themselves; step n + 1 moves the average by 1 - min(decay, (1 + n) / (10 + n)) of
    the way to the weights, so that the average forgets the start of a run. Of a model sharded over processes each
    averages what it holds.

    Source: the warm-up is that of TensorFlow's `ExponentialMovingAverage`; the average is torch's.

    Args:
        decay: share of the average that stays in a step, in (0, 1), such as 0.999

    Attributes:
        updates: steps that are in the average

    Raises:
        ValueError: If `decay` is not in (0, 1).
    """

    def __init__(self, decay: float) -> None:
        if not 0.0 < decay < 1.0:
            raise ValueError(f"ema_decay={decay} is outside (0, 1); give a share such as 0.999, or null for no average")
        super().__init__()
        self.decay, self.updates = decay, 0
        self._averages: dict[str, torch.Tensor] = {}
        self._loaded: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def follow(self, model: nn.Module) -> None:
        """Add the weights of a model to the average."""
        weights = {name: own_part(weight).float() for name, weight in trained_weights(model)}
        averages = self.of(model)
        if not averages:
            self._averages = {name: weight.clone() for name, weight in weights.items()}
        else:
            decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
            get_ema_multi_avg_fn(decay)([averages[name] for name in weights], list(weights.values()), None)
        self.updates += 1

    @contextmanager
    def in_place(self, model: nn.Module) -> Iterator[None]:
        """Give the model the averaged weights for a while; before the first step it keeps its own."""
        kept = {name: own_part(weight).clone() for name, weight in trained_weights(model)}
        try:
            _put(model, self.of(model))
            yield
        finally:
            _put(model, kept)

    def save(self, model: nn.Module, folder: Path, writes: bool) -> None:
        """Write the average whole; every process must call this, those that do not write take part in gathering."""
        averages, whole = self.of(model), {}
        for name, weight in trained_weights(model):
            if name in averages:
                whole[name] = _gathered(averages[name], weight).cpu().contiguous()
        if writes and whole:
            save_file(whole, folder / AVERAGED_WEIGHTS, metadata={UPDATES: str(self.updates)})

    def load(self, folder: Path) -> None:
        """Go on from the average of a checkpoint; one that was written before the first step has none."""
        self._averages, self._loaded, self.updates = {}, {}, 0
        if (folder / AVERAGED_WEIGHTS).is_file():
            with safe_open(folder / AVERAGED_WEIGHTS, "pt") as opened:
                self._loaded = {name: opened.get_tensor(name) for name in opened.keys()}
                self.updates = int(opened.metadata()[UPDATES])

    def of(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """Return this process's part of the average, placed as the weights are, which a loaded one is not yet."""
        if self._loaded:
            self._averages = {name: _placed(self._loaded[name], weight) for name, weight in trained_weights(model)}
            self._loaded = {}
        return self._averages


def trained_weights(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Return the trained parameters by name, a tied one once.

    FSDP2 leaves what a forward has gathered of the outermost module in the place of the sharded parameters; to write
    there would be lost, and to read it later would use freed memory. So it is given up first.
    """
    for module in model.modules():
        reshard: Any = getattr(module, "reshard", None)
        if callable(reshard):
            reshard()
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


def _gathered(own: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return the whole of what `own` is this process's part of, if it is sharded like `weight`."""
    if not isinstance(weight, DTensor):
        return own
    layout: tuple[Any, ...] = (weight.device_mesh, weight.placements)
    return DTensor.from_local(own, *layout, shape=weight.shape, stride=weight.stride()).full_tensor()


def _placed(whole: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return this process's part of a whole tensor, on the device of `weight` and sharded like it."""
    on_device = whole.to(weight.device)
    if not isinstance(weight, DTensor):
        return on_device
    everywhere = DTensor.from_local(on_device, weight.device_mesh, [Replicate()] * weight.device_mesh.ndim)
    return everywhere.redistribute(placements=weight.placements).to_local().clone()


@torch.no_grad()
def _put(model: nn.Module, values: dict[str, torch.Tensor]) -> None:
    """Write values into the trained weights that have one."""
    for name, weight in trained_weights(model):
        if name in values:
            own_part(weight).copy_(values[name])
