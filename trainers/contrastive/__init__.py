"""Training of sentence encoders in stages."""

from typing import TYPE_CHECKING

from ...runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .arguments import ContrastiveArguments
    from .options import ContrastiveStage
    from .run import run_contrastive
    from .trainer import ContrastiveTrainer
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = ["ContrastiveArguments", "ContrastiveStage", "ContrastiveTrainer", "run_contrastive"]
