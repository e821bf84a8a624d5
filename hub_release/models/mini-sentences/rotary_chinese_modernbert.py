# Copyright 2026 The Chinese ModernBERT contributors. SPDX-License-Identifier: Apache-2.0
"""Rotary positions, computed in every forward.

There is no buffer: a non-persistent one is uninitialised memory after `from_pretrained` in Transformers 5, and a
table made on the fly costs little, follows the configuration between training stages, and is always right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from .configuration_chinese_modernbert import ROPE_TYPES, TRAINED_LENGTH
from .layout_chinese_modernbert import is_recording


class RotaryTable(NamedTuple):
    """Cosine and sine of each token's angles, each `(rows, tokens, head_dim)`, float32.

    A head has each angle twice, once in each half; the sine of the first half is negative, as the rotation has it.
    """

    cosine: torch.Tensor
    sine: torch.Tensor


def rotary_table(
    position_ids: torch.Tensor,
    head_dim: int,
    parameters: Mapping[str, Any],
    longest: int | torch.Tensor,
    trained_length: int,
) -> RotaryTable:
    """Return the rotary table of some positions.

    Args:
        position_ids (`torch.Tensor` of shape `(rows, tokens)`): integer positions.
        head_dim: size of a head; even
        parameters: `rope_theta`, the base of the geometric series of wavelengths; `rope_type`, `default` or a way to
            read longer texts than trained on, with the keys that Transformers gives it (`factor`, ...)
        longest: length of the longest text at hand, in tokens; read by `dynamic` alone; a tensor of no dimension
            where a graph is recorded, which decides nothing on it
        trained_length: longest text of training, in tokens

    Raises:
        ValueError: For an unknown `rope_type`.

    Source: RoFormer, arXiv 2104.09864, section 3.2.
    """
    frequencies, scale = _frequencies(position_ids.device, head_dim, parameters, longest, trained_length)
    # Half precision would round large positions. Autocast lowers products of matrices only, and this is none.
    angles = position_ids.unsqueeze(-1).float() * frequencies
    cosine, sine = angles.cos() * scale, angles.sin() * scale
    return RotaryTable(torch.cat((cosine, cosine), dim=-1), torch.cat((-sine, sine), dim=-1))


def _frequencies(
    device: torch.device,
    head_dim: int,
    parameters: Mapping[str, Any],
    longest: int | torch.Tensor,
    trained_length: int,
) -> tuple[torch.Tensor, float]:
    """Return frequencies `(head_dim / 2,)`, float32, and a factor of cosine and sine, by `rope_type`.

    Source: `linear` is position interpolation, arXiv 2306.15595; `dynamic` grows the base with the length, as
    Transformers does; `yarn` is arXiv 2309.00071, sections 3.2 to 3.4.
    """
    kind, theta, factor = parameters["rope_type"], float(parameters["rope_theta"]), parameters.get("factor", 1.0)
    if kind == "dynamic":
        is_tensor = isinstance(longest, torch.Tensor)
        longest = longest.clamp(min=trained_length) if is_tensor else max(longest, trained_length)
        growth = factor * longest / trained_length - (factor - 1)
        theta = theta * growth ** (head_dim / (head_dim - 2))
    exponents = torch.arange(0, head_dim, 2, dtype=torch.int64, device=device).float() / head_dim
    frequencies = 1.0 / (theta**exponents)
    if kind in ("default", "dynamic"):
        return frequencies, 1.0
    if kind == "linear":
        return frequencies / factor, 1.0
    if kind == "yarn":
        trained_length = parameters.get(TRAINED_LENGTH) or trained_length
        kept = _kept_by_yarn(device, head_dim, theta, parameters, trained_length)
        scale = parameters.get("attention_factor") or 0.1 * math.log(factor) + 1.0
        return frequencies * kept + frequencies / factor * (1 - kept), scale
    raise ValueError(f"rope_type={kind!r} is unknown; use one of {', '.join(ROPE_TYPES)}")


def _kept_by_yarn(
    device: torch.device, head_dim: int, theta: float, parameters: Mapping[str, Any], trained_length: int
) -> torch.Tensor:
    """Return how much of each frequency `(head_dim / 2,)` YaRN keeps: 1 if fast, 0 if slow, a ramp between."""
    ends = [
        head_dim * math.log(trained_length / (turns * 2 * math.pi)) / (2 * math.log(theta))
        for turns in (parameters.get("beta_fast") or 32, parameters.get("beta_slow") or 1)
    ]
    first, last = max(math.floor(ends[0]), 0), min(math.ceil(ends[1]), head_dim - 1)
    index = torch.arange(head_dim // 2, dtype=torch.float32, device=device)
    return 1 - ((index - first) / max(last - first, 0.001)).clamp(0, 1)


def apply_rotary(states: torch.Tensor, table: RotaryTable) -> torch.Tensor:
    """Rotate queries and keys.

    Args:
        states (`torch.Tensor` of shape `(rows, tokens, parts, heads, head_dim)`): queries and keys side by side.
        table: of the same tokens

    Returns:
        A tensor of the same shape and dtype; the rotation itself runs in float32.
    """
    cosine, sine = (part.unsqueeze(2).unsqueeze(2) for part in table)
    states_32 = states.float()
    turned = states_32 * cosine
    if is_recording() or (torch.is_grad_enabled() and states.requires_grad):
        # One fused product with the halves exchanged: less than half the time of four products on halves, on CPU.
        exchanged = states_32.unflatten(-1, (2, -1)).flip(-2).flatten(-2)
        return torch.addcmul(turned, exchanged, sine).to(states.dtype)
    half = states.shape[-1] // 2
    turned[..., :half].addcmul_(states_32[..., half:], sine[..., :half])
    turned[..., half:].addcmul_(states_32[..., :half], sine[..., half:])
    return turned.to(states.dtype)
