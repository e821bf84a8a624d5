"""What changes the weights: StableAdamW, Muon beside it, and the groups of parameters that they are built over."""

from typing import TYPE_CHECKING

from ....runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .build import build_optimizer, check_optimizer, parameter_groups
    from .moments import check_moments, take_moments
    from .muon import MuonWithStableAdamW
    from .stable_adamw import StableAdamW
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "MuonWithStableAdamW",
    "StableAdamW",
    "build_optimizer",
    "check_moments",
    "check_optimizer",
    "parameter_groups",
    "take_moments",
]
