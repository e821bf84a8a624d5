"""From text to shards, and from shards to the micro-batches of a run."""

from typing import TYPE_CHECKING

from ...runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .arguments import PrepareArguments
    from .batch_plan import BatchSizeWarmup
    from .filters import MinimumCharacters, MinimumHanShare
    from .packing import PackedRows
    from .prepare import run_prepare
    from .shards import TokenShards
    from .stages import Stage, StagedBatches
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "BatchSizeWarmup",
    "MinimumCharacters",
    "MinimumHanShare",
    "PackedRows",
    "PrepareArguments",
    "Stage",
    "StagedBatches",
    "TokenShards",
    "run_prepare",
]
