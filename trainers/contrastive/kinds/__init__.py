"""The kinds of models that the stages train, a file for each."""

from typing import TYPE_CHECKING

from ....runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .kind import ModelKind
    from .table import kind_named
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = ["ModelKind", "kind_named"]
