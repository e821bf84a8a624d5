"""Pre-training: arguments, run, trainer, schedules, optimizers, checkpoints, guards and logs."""

from typing import TYPE_CHECKING

from ...runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .arguments import PretrainingArguments
    from .curves import draw_comparison, draw_curves
    from .log import read_training_log
    from .optimizers import StableAdamW, build_optimizer
    from .run import run_pretraining
    from .schedules import build_schedule
    from .trainer import PretrainingTrainer
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "PretrainingArguments",
    "PretrainingTrainer",
    "StableAdamW",
    "build_optimizer",
    "build_schedule",
    "draw_comparison",
    "draw_curves",
    "read_training_log",
    "run_pretraining",
]
