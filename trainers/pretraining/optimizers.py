"""StableAdamW and the parameter groups: weight decay on matrices, none on norms and biases."""

import logging
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

logger = logging.getLogger(__name__)


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
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)
        return loss

    def _update(self, parameter: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        """Update one tensor in place; moments are kept in the tensor's own dtype."""
        state = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
            state["exp_avg_sq"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        state["step"] += 1
        first, second = (_debiased(beta, int(state["step"].item())) for beta in group["betas"])
        state["exp_avg"].lerp_(gradient, 1.0 - first)
        squared = gradient.square()
        state["exp_avg_sq"].lerp_(squared, 1.0 - second)
        ratio = squared.div_(state["exp_avg_sq"].clamp_min(group["eps"] ** 2))
        # A sum and no mean, nothing in place: of a tensor sharded over processes each holds a part, of any size.
        step_size = group["lr"] / (ratio.sum() / ratio.numel()).sqrt().clamp_min(1.0)
        decay = group["weight_decay"] / (group["peak_lr"] if group["decoupled"] else 1.0)
        if decay:
            parameter.mul_(1.0 - step_size * decay)
        denominator = state["exp_avg_sq"].sqrt().add_(group["eps"])
        parameter.sub_(state["exp_avg"] / denominator * step_size)


def _debiased(beta: float, step: int) -> float:
    """Return the decay that makes the moving average unbiased at `step`, so that no separate correction is needed."""
    return beta * (1.0 - math.pow(beta, step - 1)) / (1.0 - math.pow(beta, step))


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"stable_adamw": StableAdamW, "adamw": torch.optim.AdamW}


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the trainable parameters into a decayed group and one without decay.

    Without decay are all parameters of fewer than two dimensions: the norms' scales and every bias. Embeddings and
    matrices decay. The rule looks at shapes, not at names, so that a renamed norm cannot slip into the wrong group.
    Source: ModernBERT's recipe (`filter_bias_norm_wd`).

    Args:
        model: the model; a tied matrix is counted once
        weight_decay: weight decay of the first group, which comes first
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def build_optimizer(
    name: str,
    model: nn.Module,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.98),
    eps: float = 1e-6,
    weight_decay: float = 1e-5,
) -> Optimizer:
    """Build the optimizer over the two parameter groups.

    Args:
        name: `stable_adamw` (decoupled decay) or `adamw` (torch's, decay multiplied by the learning rate)
        model: the model
        lr: peak learning rate
        betas: decay of the moments
        eps: term of the denominator
        weight_decay: decay of the first group

    Raises:
        ValueError: For an unknown name.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer='{name}' is not known; choose one of {', '.join(OPTIMIZERS)}")
    groups = parameter_groups(model, weight_decay)
    decayed, free = (sum(parameter.numel() for parameter in group["params"]) for group in groups)
    logger.info(
        "%s: %s parameters decay by %g, %s (norms and biases) do not", name, f"{decayed:,}", weight_decay, f"{free:,}"
    )
    return OPTIMIZERS[name](groups, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
