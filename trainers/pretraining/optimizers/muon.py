"""Muon for hidden matrices and StableAdamW for everything else, as one optimizer."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.distributed.tensor import DTensor, Replicate
from torch.optim import Optimizer

from .stable_adamw import StableAdamW

FIRST_TORCH = "2.9"
ORTHOGONALIZED = "is_orthogonalized"
MOMENTUM = "momentum_buffer"


class MuonWithStableAdamW(Optimizer):
    """Muon on hidden matrices, StableAdamW on embeddings, decoder, norms and biases.

    Both read and write the groups and the state of this object, so that a schedule, a checkpoint and a sharded state
    see one optimizer. Muon is torch's, with five steps of Newton-Schulz in bfloat16 and steps of the size of AdamW's
    (`match_rms_adamw`), so that AdamW's learning rate suits it. A matrix is orthogonalized as it is stored, the three
    of attention and the two of the gate together. One that is sharded over processes is gathered first.

    Sources: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; Liu et al. 2025, "Muon is
    scalable for LLM training", for the size of the steps.

    Args:
        hidden: groups of matrices for Muon
        rest: groups of the other parameters
        lr: peak learning rate of the rest
        muon_lr: peak learning rate of the matrices. Default: `lr`.
        muon_momentum: decay of Muon's momentum, in [0, 1). Default: torch's.
        betas: decay of the moments of the rest
        eps: term of the denominator of the rest
        weight_decay: decay of groups that say nothing, taken off as `weight_decay * lr / peak` in each step, in both

    Raises:
        ValueError: For values outside their range.
        ImportError: If this torch has no Muon.
    """

    def __init__(
        self,
        hidden: Sequence[dict[str, Any]],
        rest: Sequence[dict[str, Any]],
        lr: float,
        muon_lr: float | None = None,
        muon_momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-6,
        weight_decay: float = 1e-5,
    ) -> None:
        peak = lr if muon_lr is None else muon_lr
        if peak <= 0 or not 0.0 <= muon_momentum < 1.0:
            raise ValueError(f"muon_lr={peak} must be positive and {muon_momentum=} in [0, 1)")
        # torch takes `weight_decay * lr` off.
        groups = [{**group, "weight_decay": group.get("weight_decay", weight_decay) / peak} for group in hidden]
        options = {"lr": peak, "momentum": muon_momentum, "adjust_lr_fn": "match_rms_adamw"}
        muon = torch_muon()(groups, **options)
        other = StableAdamW(rest, lr, betas, eps, weight_decay)
        for part in (other, muon):
            for group in part.param_groups:
                group[ORTHOGONALIZED] = part is muon
        self._parts: tuple[Optimizer, Optimizer] = (other, muon)
        super().__init__([*other.param_groups, *muon.param_groups], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take one step and return the closure's loss, if a closure was given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        rest, muon = self._parts
        rest.state, rest.param_groups = self.state, [group for group in self.param_groups if not group[ORTHOGONALIZED]]
        rest.step()
        for group in self.param_groups:
            if group[ORTHOGONALIZED]:
                sharded = [one for one in group["params"] if isinstance(one, DTensor) and one.grad is not None]
                plain = [one for one in group["params"] if not isinstance(one, DTensor)]
                muon.state, muon.param_groups = self.state, [{**group, "params": plain}]
                muon.step()
                for matrix in sharded:
                    self._step_sharded(matrix, group)
        return loss

    def _step_sharded(self, matrix: DTensor, group: dict[str, Any]) -> None:
        """Gather a matrix with gradient and momentum, take Muon's step on every process, and keep the own part."""
        state, muon = self.state[matrix], self._parts[1]
        if MOMENTUM not in state:
            state[MOMENTUM] = torch.zeros_like(matrix)
        gradient: Any = matrix.grad
        whole = torch.nn.Parameter(matrix.full_tensor())
        whole.grad = gradient.full_tensor()
        momentum = state[MOMENTUM].full_tensor()
        muon.state, muon.param_groups = {whole: {MOMENTUM: momentum}}, [{**group, "params": [whole]}]  # pyright: ignore[reportAttributeAccessIssue]
        muon.step()
        for target, changed in ((matrix, whole.detach()), (state[MOMENTUM], momentum)):
            everywhere = DTensor.from_local(changed, target.device_mesh, [Replicate()] * target.device_mesh.ndim)
            target.copy_(everywhere.redistribute(placements=target.placements))


def torch_muon() -> type[Optimizer]:
    """Return torch's Muon.

    Raises:
        ImportError: If this torch has none.
    """
    found = getattr(torch.optim, "Muon", None)
    if found is None:
        raise ImportError(
            f"optimizer='muon' needs torch {FIRST_TORCH} or newer, this is {torch.__version__}; update it, or take "
            "stable_adamw"
        )
    return found
