"""Training of spelling correctors, and the commands that use them."""

from typing import TYPE_CHECKING

from ...runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .arguments import SpellingArguments
    from .run import run_spelling
    from .threshold import ThresholdPoint, fit_threshold, threshold_curve
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = ["SpellingArguments", "ThresholdPoint", "fit_threshold", "run_spelling", "threshold_curve"]
