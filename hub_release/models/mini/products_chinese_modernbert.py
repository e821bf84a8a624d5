# Copyright 2026 The Chinese ModernBERT contributors. SPDX-License-Identifier: Apache-2.0
"""Products of float32 matrices on a CPU: which of torch's two libraries computes them.

torch hands them to MKL, which runs at less than half the speed of the processor on an AMD with AVX-512. oneDNN, which
is inside the same torch, does not: it is reached through the operator that torch's own compiler uses. Both are exact
to the rounding of float32. In half precision, under autocast, on a GPU and while a graph is recorded for other
runtimes, torch's usual operator is taken.
"""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .layout_chinese_modernbert import is_exporting

PRODUCTS = ("auto", "torch", "onednn")
# Also how a folder on the Hub, whose Python is not this module, is told.
VARIABLE = "CHINESE_MODERNBERT_PRODUCTS"
_chosen = {"products": "torch"}


def set_products(name: str) -> str:
    """Choose who computes products of float32 matrices on CPU in this process, and return the choice.

    Args:
        name: `torch` (as torch does by itself), `onednn`, or `auto`, which takes `onednn` where it is known to be
            faster: AMD processors with AVX-512. The default is the environment variable `CHINESE_MODERNBERT_PRODUCTS`,
            else `auto`. Sums are taken in another order, so a resumed run must keep its choice to the last bit.

    Returns:
        `torch` or `onednn`.

    Raises:
        ValueError: For another name, or `onednn` in a torch that was built without it.
    """
    if name not in PRODUCTS:
        raise ValueError(f"products={name!r} is unknown; use one of {', '.join(PRODUCTS)}")
    if name == "onednn" and not _has_onednn():
        raise ValueError(f"products='onednn' is not in torch {torch.__version__}; use 'torch' or 'auto'")
    if name == "auto":
        name = "onednn" if _has_onednn() and _is_amd_with_avx512() else "torch"
    _chosen["products"] = name
    return name


def products() -> str:
    """Return who computes products of float32 matrices on CPU, `torch` or `onednn`."""
    return _chosen["products"]


@lru_cache(maxsize=1)
def _has_onednn() -> bool:
    """Tell whether this torch has the operator and gives right numbers; it is private, and may change or go."""
    if not torch.backends.mkldnn.is_available():
        return False
    try:
        # Named in full: an import may stand under another default device or dtype.
        left = torch.arange(6, dtype=torch.float32, device="cpu").view(3, 2)
        right = torch.tensor([[1.0, 0.5], [-1.0, 2.0]], dtype=torch.float32, device="cpu")
        return bool(torch.equal(_onednn(left, right), left @ right.t()))
    except (AttributeError, RuntimeError, TypeError):
        return False


@lru_cache(maxsize=1)
def _is_amd_with_avx512() -> bool:
    """Tell what processor this is."""
    vendor = platform.processor()
    try:
        vendor += Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")[:4096]
    except OSError:  # no Linux
        pass
    return "AuthenticAMD" in vendor and torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def _onednn(left: torch.Tensor, right: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Return `left @ right.T + bias`, `(..., k)` times `(m, k)`."""
    if torch.compiler.is_compiling():  # torch's compiler takes the operator for its own and wants constant weights
        return torch.ops.chinese_modernbert.product(left, right, bias)
    return torch.ops.mkldnn._linear_pointwise(left, right, bias, "none", [], "")


def _shape_of_product(left: torch.Tensor, right: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return left.new_empty(*left.shape[:-1], right.shape[0])


# A folder from the Hub is another module with the same operator: the first one of a process serves all.
if not hasattr(torch.ops.chinese_modernbert, "product"):
    torch.library.define("chinese_modernbert::product", "(Tensor left, Tensor right, Tensor? bias) -> Tensor")
    torch.library.impl("chinese_modernbert::product", "cpu", _onednn)
    torch.library.register_fake("chinese_modernbert::product", _shape_of_product)


class _Product(torch.autograd.Function):
    """`left @ right.T` of `(n, k)` and `(m, k)` in oneDNN; its gradients are such products too."""

    @staticmethod
    def forward(ctx: Any, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(left, right)
        return _onednn(left, right)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        left, right = ctx.saved_tensors
        (gradient,) = gradients
        for_left = product(gradient, right.t()) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return for_left, None
        # The first operand is copied where it stands on its side: let that be the smaller one.
        if gradient.shape[1] > left.shape[1]:
            return for_left, product(left.t(), gradient.t()).t().contiguous()
        return for_left, product(gradient.t(), left.t())


def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return `left @ right.T` of float32 matrices `(n, k)` and `(m, k)` on CPU by oneDNN, with gradients.

    The second operand must lie in memory without gaps, as it stands or on its side: oneDNN has no fast code for others.
    """
    if torch.is_grad_enabled() and (left.requires_grad or right.requires_grad):
        return _Product.apply(left, right)
    return _onednn(left, right)


def takes_products(states: torch.Tensor) -> bool:
    """Tell whether products of these states are for `product`: float32 on CPU, nothing recorded, `onednn` chosen."""
    return (
        not is_exporting()
        and states.device.type == "cpu"
        and states.dtype == torch.float32
        and states.dim() > 1
        and states.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and products() == "onednn"
    )


def linear(layer: nn.Module, states: torch.Tensor) -> torch.Tensor:
    """Return `layer(states)`: the same numbers, but a plain `nn.Linear` is computed by whoever is faster.

    Args:
        layer: anything callable; LoRA, quantized and hooked layers are called as they are
        states (`torch.Tensor` of shape `(..., in_features)`).
    """
    if not (takes_products(states) and _is_plain(layer, states)):
        return layer(states)
    weight: Any = layer.weight
    bias: Any = layer.bias
    if not torch.is_grad_enabled():
        return _onednn(states, weight, bias)
    found = product(states.flatten(0, -2), weight).unflatten(0, states.shape[:-1])
    return found if bias is None else found + bias


def _is_plain(layer: nn.Module, states: torch.Tensor) -> bool:
    """Tell whether calling a layer would do nothing but multiply: no subclass, hook, transform or special tensor."""
    if type(layer) is not nn.Linear or "forward" in layer.__dict__:
        return False
    if type(states) is not torch.Tensor or layer.weight.dtype != torch.float32 or not layer.weight.is_contiguous():
        return False
    if type(layer.weight) not in (nn.Parameter, torch.Tensor) or torch._C._are_functorch_transforms_active():
        return False
    return not (
        layer._forward_hooks
        or layer._forward_pre_hooks
        or layer._backward_hooks
        or layer._backward_pre_hooks
        or nn.modules.module._global_forward_hooks
        or nn.modules.module._global_forward_pre_hooks
        or nn.modules.module._global_backward_hooks
        or nn.modules.module._global_backward_pre_hooks
    )


set_products(os.environ.get(VARIABLE, "auto"))
