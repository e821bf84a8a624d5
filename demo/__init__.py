"""The demo: the whole path on a generated corpus, its report, and the speed benchmark."""

from typing import TYPE_CHECKING

from ..runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .report import DemoReport, render_report
    from .run import DemoArguments, run_demo
    from .speed import SpeedArguments, run_model_speed
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = ["DemoArguments", "DemoReport", "SpeedArguments", "render_report", "run_demo", "run_model_speed"]
