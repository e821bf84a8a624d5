"""The options of `mask`, and from the name and the options of a masking preset to a masker."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...runtime.options import argument, did_you_mean
from ..data.shards import TokenShards
from .corruption import MaskVocabulary
from .masker import Masker
from .materials.from_options import MATERIALS, Sources
from .presets import MASKING_PRESETS

# Parameters of presets that no plain data can be.
OBJECTS = ("lexicon", "feedback")


@dataclass
class MaskArguments:
    """What to mask, how, and at which point of training."""

    text: list[str] = argument(list, "Texts to show; a short sentence of ours where none is given.", group="Text")
    tokenizer: str = argument("", "Folder of a fast tokenizer; if empty, the shipped one.")
    segmenter: str = argument("rjieba", "Word segmenter: rjieba, jieba or lexicon.")
    user_dictionary: str | None = argument(None, "File with one word per line for the segmenter.")

    masking: str = argument("chinese_modernbert", "Masking method of docs/masking.md.", group="Masking")
    masking_options: dict | None = argument(None, "Options of that method, as pretrain takes them.")
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
    tokenizer: Any = None,
) -> Masker:
    """Return the masker of a preset.

    What the preset reads is made from options that name files and folders, and counted on `shards`; its masker then
    makes the columns that a batch comes without.

    Args:
        name: name in `MASKING_PRESETS`
        options: keyword arguments of the preset's function, such as `{"high": 0.4}`, and those of `MATERIALS`, such as
            `{"word_files": ["entities.txt"]}`; an object that a caller in Python passes is not made
        vocabulary: [MASK] and the special ids
        seed: names the family of masks
        shards: text to count tables on
        tokenizer: fast tokenizer, for presets that read words

    Raises:
        FileNotFoundError: If an option names a file that is not there.
        ValueError: If the preset or an option is unknown, a value does not fit, or something that the preset needs is
            not given.
    """
    if name not in MASKING_PRESETS:
        raise ValueError(f"preset '{name}' is unknown; use one of {', '.join(MASKING_PRESETS)}")
    given = dict(options or {})
    _check_options(name, given)
    material, taggers = MATERIALS.get(name), {}
    if material is not None:
        named = {key: given.pop(key) for key in material.options if key in given}
        if not material.parameters or not given.keys() >= {*material.parameters}:
            made, taggers = material.make(Sources(name, named, vocabulary.size, shards, tokenizer))
            given = {**made, **given}
        elif named:
            raise ValueError(
                f"preset '{name}' is given {', '.join(material.parameters)}, so {', '.join(named)} is not read"
            )
    missing = [key for key, one in _parameters(name).items() if one.default is one.empty and key not in given]
    if missing:
        raise ValueError(
            f"preset '{name}' needs {' and '.join(missing)}; give them in masking_options, {{{missing[0]}: 1.0}}"
        )
    try:
        masker = MASKING_PRESETS[name].build(vocabulary, seed=seed, **given)
    except TypeError as error:
        raise ValueError(f"the options {given} of preset '{name}' do not fit: {error}") from error
    return replace(masker, taggers=taggers) if taggers else masker


def _check_options(name: str, options: Mapping[str, Any]) -> None:
    """Refuse an option that the preset lacks, and name the nearest one; and what only Python code can bring."""
    material = MATERIALS.get(name)
    read, columns = (material.options, material.columns) if material else ((), ())
    known = [*(key for key in _parameters(name) if key not in columns), *read]
    for key, value in options.items():
        if key in columns:
            raise ValueError(
                f"option '{key}' of preset '{name}' names a column that only Python code brings; leave it out"
            )
        if key not in known:
            raise ValueError(f"preset '{name}' has no option '{key}'{did_you_mean(str(key), known)}")
        if key in OBJECTS and isinstance(value, str | int | float | list | dict):
            instead = f"give {' or '.join(read)} in its place" if read else "leave it out"
            raise ValueError(f"option '{key}' of preset '{name}' is an object of Python code; {instead}")


def _parameters(name: str) -> dict[str, inspect.Parameter]:
    """Return the options of a preset: the parameters of its function except vocabulary and seed."""
    parameters = inspect.signature(MASKING_PRESETS[name].build).parameters
    return {key: one for key, one in parameters.items() if key not in ("vocabulary", "seed")}
