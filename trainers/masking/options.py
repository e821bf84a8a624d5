"""The options of `mask`, and from the name and the options of a masking preset to a masker; numpy alone, so light."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...runtime.options import argument, did_you_mean
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


@dataclass
class MaskArguments:
    """What to mask, how, and at which point of training."""

    text: list[str] = argument(list, "Texts to show; a short sentence of ours where none is given.", group="Text")
    tokenizer: str = argument("", "Folder of a fast tokenizer; if empty, the shipped one.")
    segmenter: str = argument("rjieba", "Word segmenter: rjieba, jieba or lexicon.")
    user_dictionary: str | None = argument(None, "File with one word per line for the segmenter.")

    masking: str = argument("chinese_modernbert", "Masking method of docs/masking.md.", group="Masking")
    words: list[str] = argument(list, "Words, entities or domain terms of the methods that read such a list.")
    data: str | None = argument(None, "Prepared shards, to count the tables of the methods that need one.")
    step: int = argument(0, "Optimizer step.")
    max_steps: int = argument(1_000, "Steps of the whole run; the rate depends on step / max_steps.")
    epoch: int = argument(0, "Pass over the data; each has its own masks.")
    seed: int = argument(0, "Family of masks.")

    picture: str | None = argument(None, "File for the rate curve and the chances of masking.", group="Picture")
    corpus: list[str] = argument(list, "Text files or folders to measure it on; none: the texts.")
    text_field: str = argument("text", "Field of the text in JSON lines and Parquet files.")
    part_of_speech: bool = argument(False, "Measure by part of speech too, as jieba tags words.")

    def __post_init__(self) -> None:
        if self.masking not in MASKING_PRESETS:
            raise ValueError(f"masking='{self.masking}' is unknown; use one of {', '.join(MASKING_PRESETS)}")
        if self.max_steps < 1 or not 0 <= self.step <= self.max_steps:
            raise ValueError(f"step={self.step} must lie between 0 and max_steps={self.max_steps}, at least 1")
        if self.picture is None and (self.corpus or self.part_of_speech):
            given = "corpus" if self.corpus else "part_of_speech"
            raise ValueError(f"{given} is read for the picture alone; name its file with --picture")
        if not self.corpus and self.text_field != "text":
            raise ValueError(f"text_field={self.text_field!r} is a field of the corpus; give --corpus, or leave it out")


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
