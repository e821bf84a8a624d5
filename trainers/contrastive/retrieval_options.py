"""Our own options of `retrieval`: the kinds of models for search."""

import dataclasses
from typing import Literal

from ...runtime.options import argument
from .options import DenseOptions, StageOptions

ACTS_FOR: dict[str, tuple[str, ...]] = {
    **{field.name: ("dense",) for field in dataclasses.fields(DenseOptions)},
}
"""The kinds that an option acts for, where it does not act for all."""


@dataclasses.dataclass
class RetrievalOptions(DenseOptions, StageOptions):
    """Our own options of `retrieval`."""

    kind: Literal["dense"] = argument("dense", "What is trained, or scored where there are no stages.", group="Search")
