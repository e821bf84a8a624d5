"""From the name and the options of a masking preset, as in a recipe or on a command line, to a masker."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...runtime.options import did_you_mean
from ..data.shards import TokenShards
from .corruption import MaskVocabulary
from .masker import Masker
from .presets import MASKING_PRESETS
from .tables import frequency_table, idf_table, pmi_rate_table, rank_table

# Presets whose table can be counted on shards. Weights and rates are those of the presets' sources.
COUNTED_TABLES: dict[str, tuple[str, Callable[..., np.ndarray]]] = {
    "weighted_sampling": ("table", frequency_table),
    "retrieval_oriented": ("table", idf_table),
    "frequency_informed": ("ranks", rank_table),
    "informask": ("rates", pmi_rate_table),
}


def masker_from_options(
    name: str,
    options: Mapping[str, Any] | None,
    vocabulary: MaskVocabulary,
    seed: int,
    shards: TokenShards | None = None,
) -> Masker:
    """Return the masker of a preset.

    A table that the preset needs is counted on `shards`.

    Args:
        name: name in `MASKING_PRESETS`
        options: keyword arguments of the preset's function, such as `{"high": 0.4}`; they win over a counted table
        vocabulary: [MASK] and the special ids
        seed: names the family of masks
        shards: text to count tables on

    Raises:
        ValueError: If the preset or an option is unknown, a value does not fit, or the preset needs an object that
            only Python code can pass.
    """
    if name not in MASKING_PRESETS:
        raise ValueError(f"preset '{name}' is unknown; use one of {', '.join(MASKING_PRESETS)}")
    given = dict(options or {})
    _check_options(name, given)
    if name in COUNTED_TABLES and COUNTED_TABLES[name][0] not in given:
        if shards is None:
            raise ValueError(f"preset '{name}' needs a table counted on text; give --data with prepared shards")
        option, count = COUNTED_TABLES[name]
        given[option] = count((shards[index].input_ids for index in range(len(shards))), vocabulary.size)
    missing = [key for key, one in _parameters(name).items() if one.default is one.empty and key not in given]
    if missing:
        raise ValueError(f"preset '{name}' needs {', '.join(missing)}, which only Python code can pass")
    try:
        return MASKING_PRESETS[name].build(vocabulary, seed=seed, **given)
    except TypeError as error:
        raise ValueError(f"the options {given} of preset '{name}' do not fit: {error}") from error


def columns_of(name: str) -> list[str]:
    """Return the columns of a batch that a preset reads besides the words: its needs that are not parameters."""
    return [need for need in MASKING_PRESETS[name].needs if need not in _parameters(name)]


def _check_options(name: str, options: Mapping[str, Any]) -> None:
    """Refuse an option that the preset lacks, and name the nearest one."""
    known = list(_parameters(name))
    for key in options:
        if key not in known:
            raise ValueError(f"preset '{name}' has no option '{key}'{did_you_mean(str(key), known)}")


def _parameters(name: str) -> dict[str, inspect.Parameter]:
    """Return the options of a preset: the parameters of its function except vocabulary and seed."""
    parameters = inspect.signature(MASKING_PRESETS[name].build).parameters
    return {key: one for key, one in parameters.items() if key not in ("vocabulary", "seed")}
