"""Fine-tuning on CLUE, or on a task of your own."""

from typing import TYPE_CHECKING

from ...runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .arguments import ClueArguments
    from .models import build_model
    from .run import run_clue
    from .trainer import ClueTrainer
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = ["ClueArguments", "ClueTrainer", "build_model", "run_clue"]
