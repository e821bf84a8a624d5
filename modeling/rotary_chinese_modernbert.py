"""Rotary positions, computed in every forward.

There is no buffer: a non-persistent one is uninitialised memory after `from_pretrained` in Transformers 5, and a
table made on the fly costs little, follows the configuration between training stages, and is always right.
"""

from __future__ import annotations

from typing import NamedTuple

import torch


class RotaryTable(NamedTuple):
    """Cosine and sine of each token's angles, each `(rows, tokens, head_dim / 2)`, float32."""

    cosine: torch.Tensor
    sine: torch.Tensor


def rotary_table(position_ids: torch.Tensor, head_dim: int, theta: float) -> RotaryTable:
    """Return the rotary table of some positions.

    Args:
        position_ids (`torch.Tensor` of shape `(rows, tokens)`): integer positions.
        head_dim: size of a head; even.
        theta: base of the geometric series of wavelengths.

    Source: RoFormer, arXiv 2104.09864, section 3.2.
    """
    exponents = torch.arange(0, head_dim, 2, dtype=torch.int64, device=position_ids.device).float() / head_dim
    frequencies = 1.0 / (theta**exponents)
    # Half precision would round large positions: keep float32, also under autocast.
    with torch.autocast(device_type=position_ids.device.type, enabled=False):
        angles = position_ids.unsqueeze(-1).float() * frequencies
        return RotaryTable(angles.cos(), angles.sin())


def apply_rotary(states: torch.Tensor, table: RotaryTable) -> torch.Tensor:
    """Rotate queries and keys.

    Args:
        states (`torch.Tensor` of shape `(rows, tokens, parts, heads, head_dim)`): queries and keys side by side.
        table: of the same tokens.

    Returns:
        A tensor of the same shape and dtype; the rotation itself runs in float32.
    """
    cosine, sine = (part.unsqueeze(2).unsqueeze(2) for part in table)
    first, second = states.float().chunk(2, dim=-1)
    rotated = torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)
    return rotated.to(states.dtype)
