"""From a recipe and a command line to the dataclass of a command, for every command.

Options are fields of a dataclass, made with `argument`. An unknown one is an error that names the nearest known one. A
command whose dataclass extends one of a library says in `library_options` which of the library's fields act and what
to use in place of each other one.
"""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .recipes import find_recipe, read_recipe, read_yaml, with_numbers, with_variables
from .settings import require_ranges

# Up to so many names are listed where none is near. Our default.
FEW_NAMES = 12
COMMAND_LINE = "the command line"
# Names of other programs, most of them of Transformers' scripts, and ours for the same, the first that a command has.
OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "model_name_or_path": ("model",),
    "model_name": ("model",),
    "model_id": ("model",),
    "model_path": ("model",),
    "checkpoint": ("model",),
    "config_name": ("model",),
    "config_overrides": ("model_overrides",),
    "tokenizer_name": ("tokenizer", "tokenizers"),
    "tokenizer_name_or_path": ("tokenizer", "tokenizers"),
    "dataset_name": ("dataset", "data"),
    "dataset_config_name": ("dataset_config",),
    "train_file": ("corpus", "task_file", "data"),
    "test_file": ("task_file", "data"),
    "input_file": ("data", "corpus"),
    "train_data": ("data", "corpus"),
    "train_data_file": ("corpus", "data"),
    "data_dir": ("data", "output_dir"),
    "validation_file": ("eval_data", "task_file", "data"),
    "eval_data_file": ("eval_data", "data"),
    "text_column_name": ("text_field",),
    "max_seq_length": ("max_length",),
    "max_seq_len": ("max_length",),
    "block_size": ("max_length", "stages"),
    "task_name": ("tasks",),
    "mlm_probability": ("masking_options",),
    "preprocessing_num_workers": ("prepare_workers",),
    "num_workers": ("prepare_workers", "dataloader_num_workers"),
    "evaluation_strategy": ("eval_strategy",),
    "overwrite_output_dir": ("overwrite",),
    "no_cuda": ("use_cpu",),
    "warmup_ratio": ("warmup_steps",),
    "epochs": ("num_train_epochs", "stages"),
    "batch_size": ("per_device_train_batch_size", "tokens_per_micro_batch", "stages"),
    "lr": ("learning_rate",),
    "preset": ("masking", "model"),
    "output": ("output_dir",),
    "max_train_steps": ("max_steps",),
    "max_predict_samples": ("max_eval_samples",),
    "hub_model_id": ("repo_id",),
    "private": ("public",),
}
NEEDLESS = ("do_train", "do_eval", "do_predict")


@dataclasses.dataclass(frozen=True)
class LibraryOptions:
    """Which fields of a library's dataclass a command takes; every field is its own, acting or refused.

    Attributes:
        acting: name -> where it acts
        refused: name -> what to do instead
    """

    acting: Mapping[str, str]
    refused: Mapping[str, str]


def argument(
    default: Any,
    description: str,
    group: str | None = None,
    names: bool = False,
    keys: type | None = None,
    within: str | None = None,
) -> Any:
    """Return a dataclass field with a help text.

    Args:
        default: its default; a class makes a new object each time, `dataclasses.MISSING` makes the option required
        description: one line for `--help`
        group: heading of the help that begins with this option; None: it belongs to the group before
        names: a list of names, which may be given with commas too
        keys: dataclass of the keys of the file that the option names, which `--help` lists
        within: range of a number, such as `[0, 1)`; None: any that is finite
    """
    chosen: Any = {"default_factory": default} if isinstance(default, type) else {"default": default}
    told = {"help": description, "group": group, "names": names, "keys": keys, "within": within}
    return dataclasses.field(metadata=told, **chosen)


def own_names(kind: type) -> list[str]:
    """Return the options that a command declares itself with `argument`, in order."""
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    if not hasattr(kind, "library_options"):
        return list(fields)
    declared: dict[str, None] = {}
    for one in reversed(kind.__mro__):
        for name in one.__dict__.get("__annotations__", ()):
            declared.pop(name, None)  # the last class that declares a field gives it its place
            declared[name] = None
    return [name for name in declared if name in fields and "group" in fields[name].metadata]


def accepted_names(kind: type) -> set[str]:
    """Return the options that a command takes."""
    table = getattr(kind, "library_options", None)
    return {*own_names(kind), *(() if table is None else table.acting)}


def refuse_idle_options(arguments: Any) -> None:
    """Refuse numbers out of range and unread fields of the library; for `__post_init__`, before the library's own.

    Raises:
        ValueError: For such a number, or if such a field is not at its default.
    """
    require_ranges(arguments)
    refused: Mapping[str, str] = arguments.library_options.refused
    for field in dataclasses.fields(arguments):
        if field.name in refused and getattr(arguments, field.name) != default_of(field):
            raise ValueError(f"{field.name} is not read here: {refused[field.name]}")  # its value may be a token


def default_of(field: dataclasses.Field) -> Any:
    """Return a field's default; `dataclasses.MISSING` where it is required."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def recorded_options(arguments: Any, defaults: Any, left_out: Iterable[str] = ()) -> dict[str, Any]:
    """Return the options that act and differ from the defaults, as plain data: what a record of the run holds.

    A text from the environment is recorded as the recipe has it, by the variable's name.

    Args:
        arguments: the run's
        defaults: an instance of defaults alone
        left_out: options that say nothing about the result, such as folders
    """
    names = accepted_names(type(arguments)) - set(left_out)
    values = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(arguments)}
    given = {name: value for name, value in values.items() if name in names and value != getattr(defaults, name)}
    return with_variables(given)


def parse_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """Read `--name value`, `--name=value`, `--name a b c` (a list) and a bare `--name` (true).

    Args:
        arguments: words of the command line after the command

    Returns:
        Values as strings, lists of strings, or True; `load_recipe` converts them by the field's type.

    Raises:
        ValueError: For a word that belongs to no option, or an option that is given twice.
    """
    values: dict[str, Any] = {}
    name = None
    for word in arguments:
        if word.startswith("--") and len(word) > 2:
            name, equals, value = word[2:].partition("=")
            name = name.replace("-", "_")
            if name in values:
                raise ValueError(f"--{name} is given twice; give several values behind one: --{name} a b")
            values[name] = value if equals else True
        elif name is None:
            raise ValueError(f"'{word}' belongs to no option; write --name value")
        elif values[name] is True:
            values[name] = word
        else:
            values[name] = [*(values[name] if isinstance(values[name], list) else [values[name]]), word]
    return values


def load_recipe(
    dataclass_types: Sequence[type],
    path: str | Path | None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
) -> tuple[Any, ...]:
    """Build the dataclasses of a command from a recipe and overrides.

    Args:
        dataclass_types: dataclasses; a key goes to every one that has a field of this name
        path: recipe file, name of a shipped recipe, or None for overrides alone
        overrides: words of the command line (`["--max_steps", "20"]`) or a mapping; they win over the recipe

    Returns:
        One instance for each type, in order.

    Raises:
        FileNotFoundError: If the recipe is not found.
        ValueError: For an unknown key, a value of the wrong type, or a required field that is missing.
    """
    origin = COMMAND_LINE if path is None else str(find_recipe(path))
    recipe = {} if path is None else read_recipe(path)
    if isinstance(overrides, Mapping):
        given = dict(overrides)
    else:
        given = _read_words(overrides, dataclass_types)
    for key in (*recipe, *given):
        _check_known(key, dataclass_types, origin if key in recipe else COMMAND_LINE)
    sources = {**dict.fromkeys(recipe, origin), **dict.fromkeys(given, COMMAND_LINE)}
    return tuple(_build(one, {**recipe, **given}, origin, sources) for one in dataclass_types)


def _read_words(words: Sequence[str], dataclass_types: Sequence[type]) -> dict[str, Any]:
    """Read the command line: `--no_NAME` is `--NAME false`, and lists of names are split at commas."""
    fields = {field.name: field for one in dataclass_types for field in dataclasses.fields(one) if field.init}
    given = _without_negations(parse_overrides(words), set(fields))
    for key, value in given.items():
        if isinstance(value, list) and key in fields and fields[key].metadata.get("names"):
            given[key] = [name for part in value for name in _split(part)]
    return given


def _without_negations(given: dict[str, Any], known: set[str]) -> dict[str, Any]:
    """Read `--no_NAME` as `--NAME false`."""
    values: dict[str, Any] = {}
    for key, value in given.items():
        name, is_negation = key.removeprefix("no_"), key not in known and key.startswith("no_")
        if is_negation and name in known:
            if value is not True:
                raise ValueError(f"--{key} takes no value; write it alone, or --{name} false")
            if name in given:
                raise ValueError(f"--{name} is given and denied; give one of them")
            key, value = name, False
        values[key] = value
    return values


def _check_known(key: str, dataclass_types: Sequence[type], origin: str) -> None:
    """Refuse a key that no dataclass has, and one of a library that the command does not read."""
    known = {name for one in dataclass_types for name in accepted_names(one)}
    if key in known:
        return
    for one in dataclass_types:
        table = getattr(one, "library_options", None)
        if table is not None and key in table.refused:
            raise ValueError(f"'{key}' in {origin} is not read here: {table.refused[key]}")
    raise ValueError(f"unknown key '{key}' in {origin}{did_you_mean(key, known)}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return what an error adds about an unknown name: `; did you mean 'nearest'?`, or the few names there are."""
    names = sorted(known)
    if name in NEEDLESS:
        return "; leave it out, the command does what it is there for"
    near = [other for other in OTHER_NAMES.get(name, ()) if other in names]
    near = near or difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f"; did you mean '{near[0]}'?"
    if not names:
        return "; it has none"
    return f"; use one of {', '.join(names)}" if len(names) <= FEW_NAMES else ""


def _build(dataclass_type: type, values: Mapping[str, Any], origin: str, sources: Mapping[str, str]) -> Any:
    """Make one dataclass from the keys it knows; `sources` names where each was written."""
    fields = {field.name: field for field in dataclasses.fields(dataclass_type) if field.init}
    hints = typing.get_type_hints(dataclass_type)
    chosen = {}
    for key in (key for key in values if key in fields):
        value = values[key]
        if fields[key].metadata.get("names") and isinstance(value, str):
            value = _parsed(value, key, sources.get(key, origin), "[") if _is_written(value, "[") else _split(value)
        chosen[key] = convert(value, hints[key], key, sources.get(key, origin))
    for name, field in fields.items():
        if name not in chosen and default_of(field) is dataclasses.MISSING:
            raise ValueError(f"{origin} gives no '{name}', which {dataclass_type.__name__} needs; add it or --{name}")
    require_ranges(built := dataclass_type(**chosen))
    return built


def _split(names: str) -> list[str]:
    """Split a list of names at its commas."""
    return [name.strip() for name in names.split(",") if name.strip()]


def convert(value: Any, annotation: Any, key: str, origin: str) -> Any:
    """Convert a value of a recipe or of the command line to a field's type.

    Args:
        value: number, string, list, mapping, or None
        annotation: resolved type annotation of the field
        key: name of the field, for messages
        origin: where the value was written, for messages

    Returns:
        The converted value; types that this function does not know are returned as they came.

    Raises:
        ValueError: If the value does not fit the type.
    """
    kind, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if kind in (typing.Union, types.UnionType):
        return _convert_union(value, arguments, key, origin)
    if kind is typing.Literal:
        if value not in arguments:
            raise ValueError(f"{key}={value!r} in {origin} is not one of {', '.join(map(str, arguments))}")
        return value
    if kind in (list, Sequence, tuple) or annotation in (list, tuple):
        item = arguments[0] if arguments else str
        return [convert(one, item, key, origin) for one in _items(value, item, key, origin)]
    if kind is dict or annotation is dict:
        return with_numbers(_checked(_parsed(value, key, origin), dict, key, origin, "a mapping"))
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        name = f"a mapping of the fields of {annotation.__name__}"
        found = _checked(_parsed(value, key, origin), dict, key, origin, name)
        for one in found:
            _check_known(str(one), [annotation], f"{key} of {origin}")
        return _build(annotation, found, f"{key} of {origin}", {})
    return _convert_scalar(value, annotation, key, origin)


def _items(value: Any, item: Any, key: str, origin: str) -> list[Any]:
    """Return the items of a list; texts stay as they are, and of other items several may be one word."""
    if item is str:
        return value if isinstance(value, list) else [value]
    value = _parsed(value, key, origin, "[")
    words = value if isinstance(value, list) else [value]
    is_number = item in (int, float)
    return [part for one in words for part in (_split(one) if is_number and isinstance(one, str) else [one])]


def _convert_union(value: Any, choices: tuple[Any, ...], key: str, origin: str) -> Any:
    """Take the first alternative that fits. Only `null` is None: `report_to: none` is a word of Transformers."""
    if type(None) in choices and (value is None or value == "null"):
        return None
    problem = None
    for choice in sorted((c for c in choices if c is not type(None)), key=lambda c: c is str):
        try:
            return convert(value, choice, key, origin)
        except ValueError as error:
            problem = problem or error
    raise problem or ValueError(f"{key} in {origin} takes no value")


def _convert_scalar(value: Any, annotation: Any, key: str, origin: str) -> Any:
    """Convert to bool, int, float, str or Path; YAML reads `1e-4` as text, so text is read again by the type."""
    try:
        if annotation is bool:
            words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
            return value if isinstance(value, bool) else words[str(value).lower()]
        if annotation in (int, float):
            if isinstance(value, bool) or value is None:
                raise ValueError
            return _number(str(value).replace("_", ""), annotation)
    except (KeyError, ValueError, OverflowError):
        raise ValueError(f"{key}={value!r} in {origin} is not of type {annotation.__name__}") from None
    if annotation is str:
        if isinstance(value, bool):  # an option without its value, or a word that YAML takes for yes or no
            raise ValueError(f"{key}={value} in {origin} is not text; give a value, in quotes if it is such a word")
        text = _checked(value, (str, int, float), key, origin, "text")
        return text if isinstance(text, str) else str(text)
    return Path(value) if annotation is Path else value


def _number(text: str, kind: type) -> int | float:
    """Return a number; `2.5e9` and `1e3` are whole too, and whole numbers of any length stay exact."""
    if kind is float:
        return float(text)
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if number != int(number):
            raise
        return int(number)


def _checked(value: Any, expected: Any, key: str, origin: str, name: str) -> Any:
    if not isinstance(value, expected):
        raise ValueError(f"{key}={value!r} in {origin} is not {name}")
    return value


def _is_written(value: Any, opening: str) -> bool:
    return isinstance(value, str) and value.lstrip().startswith(opening)


def _parsed(value: Any, key: str, origin: str, opening: str = "{") -> Any:
    """Read a mapping, or a list, that was written as text on the command line."""
    try:
        return read_yaml(value) if _is_written(value, opening) else value
    except ValueError as error:
        raise ValueError(f"{key}={value!r} in {origin} is not YAML: {error}") from error
