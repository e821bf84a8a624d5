"""StableAdamW: AdamW with the update clipping of AdaFactor, tensor by tensor, over many tensors at a time."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard
from torch.optim import Optimizer

# torch's own optimizers are written in these functions on lists of tensors; its type stubs do not declare them public.
foreach: Any = torch
# Elements that are updated together. On a CPU what a piece needs stays in the cache from one operation to the next; on
# a GPU a call with more is no faster, and what it makes on the way takes memory. Our defaults.
CPU_ELEMENTS = 2**18
GPU_ELEMENTS = 2**26


class Piece(NamedTuple):
    """A part of a tensor, or a whole one, with its gradient and moments.

    Attributes:
        owner: number of its tensor among those that are updated together
    """

    weight: torch.Tensor
    gradient: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    owner: int


class StableAdamW(Optimizer):
    """AdamW with AdaFactor's update clipping, tensor by tensor.

    The learning rate of a tensor is divided by max(1, RMS of gradient over the root of its second moment), so that a
    gradient much larger than the remembered ones cannot throw the weights.

    Source: Wortsman et al. 2023, "Stable and low-precision training for large-scale vision-language models",
    algorithm 2; ModernBERT's pre-training uses it with betas 0.9 / 0.98, eps 1e-6 and weight decay 1e-5.

    Args:
        params: parameters or groups, as for every torch optimizer
        lr: peak learning rate
        betas: decay of the first and the second moment
        eps: added to the root of the second moment; its square is the floor of the second moment in the clipping
        weight_decay: share of the weights taken off in a step
        decoupled: True takes `weight_decay * lr / peak` off in each step, as ModernBERT's recipe does; False takes
            `weight_decay * lr`, as torch's AdamW does

    Raises:
        ValueError: For values outside their range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 5e-4,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-6,
        weight_decay: float = 1e-5,
        decoupled: bool = True,
    ) -> None:
        if lr <= 0 or eps <= 0 or weight_decay < 0:
            raise ValueError(f"{lr=}, {eps=} must be positive and {weight_decay=} not negative")
        if not all(0.0 <= beta < 1.0 for beta in betas):
            raise ValueError(f"{betas=} must both be in [0, 1)")
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "decoupled": decoupled}
        super().__init__(params, {**defaults, "peak_lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take one step and return the closure's loss, if a closure was given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            by_step: dict[int, list[torch.Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_step.setdefault(self._count_step(parameter), []).append(parameter)
            for step, parameters in by_step.items():
                self._update(parameters, step, group)
        return loss

    def _count_step(self, parameter: torch.Tensor) -> int:
        """Return the number of this update of a parameter, 1 first; moments are kept in the parameter's own dtype."""
        state = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
            state["exp_avg_sq"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        state["step"] += 1
        return int(state["step"].item())

    def _update(self, parameters: Sequence[torch.Tensor], step: int, group: dict[str, Any]) -> None:
        """Update parameters of one group that have seen equally many steps, in place."""
        first, second = (_debiased(beta, step) for beta in group["betas"])
        batches = list(_batches([_local_tensors(parameter, self.state[parameter]) for parameter in parameters]))
        sums: list[list[torch.Tensor]] = [[] for _ in parameters]
        for batch in batches:
            parts = _move_moments(batch, first, second, group["eps"])
            for piece, part in zip(batch, parts, strict=True):
                sums[piece.owner].append(part)
        rates = _step_sizes(_whole_sums(sums, parameters), parameters, group["lr"])
        decay = group["weight_decay"] / (group["peak_lr"] if group["decoupled"] else 1.0)
        for batch in batches:
            _move_weights(batch, [rates[piece.owner] for piece in batch], group["eps"], decay)


def _debiased(beta: float, step: int) -> float:
    """Return the decay that makes the moving average unbiased at `step`, so that no separate correction is needed."""
    return beta * (1.0 - math.pow(beta, step - 1)) / (1.0 - math.pow(beta, step))


def _local_tensors(parameter: torch.Tensor, state: dict[str, Any]) -> list[torch.Tensor]:
    """Return weight, gradient and moments of a parameter; of one sharded over processes what this process holds."""
    tensors: tuple[Any, ...] = (parameter, parameter.grad, state["exp_avg"], state["exp_avg_sq"])
    return [tensor.to_local() if isinstance(tensor, DTensor) else tensor.detach() for tensor in tensors]


def _batches(parameters: Iterable[Sequence[torch.Tensor]]) -> Iterator[list[Piece]]:
    """Yield the tensors of all parameters in batches of a bounded number of elements; a CPU's are cut where need be."""
    batch: list[Piece] = []
    room = 0
    for owner, tensors in enumerate(parameters):
        limit = CPU_ELEMENTS if tensors[0].device.type == "cpu" else GPU_ELEMENTS
        can_be_cut = limit == CPU_ELEMENTS and all(tensor.is_contiguous() for tensor in tensors)
        cut = [tensor.view(-1).split(limit) if can_be_cut else (tensor,) for tensor in tensors]
        for weight, gradient, first, second in zip(*cut, strict=True):
            if batch and weight.numel() > room:
                yield batch
                batch = []
            room = (room if batch else limit) - weight.numel()
            batch.append(Piece(weight, gradient, first, second, owner))
    if batch:
        yield batch


def _move_moments(batch: Sequence[Piece], first: float, second: float, eps: float) -> list[torch.Tensor]:
    """Update the moments and return, for each piece, the sum of its squared gradients over their second moments."""
    gradients, seconds = [piece.gradient for piece in batch], [piece.second for piece in batch]
    foreach._foreach_lerp_([piece.first for piece in batch], gradients, 1.0 - first)
    ratios = foreach._foreach_mul(gradients, gradients)
    foreach._foreach_lerp_(seconds, ratios, 1.0 - second)
    foreach._foreach_div_(ratios, foreach._foreach_clamp_min(seconds, eps**2))
    return [ratio.sum() for ratio in ratios]


def _whole_sums(sums: Sequence[Sequence[torch.Tensor]], parameters: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return one sum for each parameter; of those sharded alike the processes exchange all sums at once."""
    own = [parts[0] if len(parts) == 1 else torch.stack(tuple(parts)).sum() for parts in sums]
    sharded: dict[Any, list[int]] = {}
    for i, parameter in enumerate(parameters):
        if isinstance(parameter, DTensor):
            sharded.setdefault((parameter.device_mesh, parameter.placements, parameter.dtype), []).append(i)
    for (mesh, placements, _), members in sharded.items():
        kinds = [Partial() if isinstance(placement, Shard) else Replicate() for placement in placements]
        whole = DTensor.from_local(torch.stack([own[i] for i in members]), mesh, kinds, run_check=False).full_tensor()
        for i, one in zip(members, whole.unbind(), strict=True):
            own[i] = one
    return own


def _step_sizes(sums: list[torch.Tensor], parameters: Sequence[torch.Tensor], lr: float) -> list[torch.Tensor]:
    """Return `lr / max(1, root of the mean)` for each parameter as a tensor, so that no device is waited for."""
    sizes = foreach._foreach_div(sums, [float(parameter.numel()) for parameter in parameters])
    foreach._foreach_sqrt_(sizes)
    foreach._foreach_clamp_min_(sizes, 1.0)
    foreach._foreach_reciprocal_(sizes)
    foreach._foreach_mul_(sizes, lr)
    return list(sizes)


def _move_weights(batch: Sequence[Piece], rates: Sequence[torch.Tensor], eps: float, decay: float) -> None:
    """Take the decay and the update off the weights; `rates` holds the step size of each piece."""
    weights = [piece.weight for piece in batch]
    if decay:
        kept = foreach._foreach_mul(rates, -decay)
        foreach._foreach_add_(kept, 1.0)
        foreach._foreach_mul_(weights, kept)
    updates = foreach._foreach_sqrt([piece.second for piece in batch])
    foreach._foreach_add_(updates, eps)
    updates = foreach._foreach_div([piece.first for piece in batch], updates)
    foreach._foreach_mul_(updates, rates)
    foreach._foreach_sub_(weights, updates)
