"""From a flat YAML recipe and command-line overrides to dataclasses, for every command.

Keys of a recipe are fields of the command's dataclasses; an unknown key is an error that names the nearest known one.
`${NAME}` in a string is replaced by the environment variable of that name.
"""

import dataclasses
import difflib
import os
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from transformers import HfArgumentParser

RECIPES_FOLDER = Path(__file__).parents[1] / "trainers" / "recipes"
# Up to so many names are listed where none is near. Our default.
FEW_NAMES = 12
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def argument(default: Any, description: str) -> Any:
    """Return a dataclass field with a help text; a class as default makes a new object each time."""
    chosen: Any = {"default_factory": default} if isinstance(default, type) else {"default": default}
    return dataclasses.field(metadata={"help": description}, **chosen)


def find_recipe(path: str | Path) -> Path:
    """Return the recipe's file: a path, or the name of a recipe that ships with the package (`pretrain_smoke`).

    Raises:
        FileNotFoundError: If there is neither such a file nor such a recipe.
    """
    shipped = RECIPES_FOLDER / f"{Path(path).name.removesuffix('.yaml')}.yaml"
    if Path(path).is_file():
        return Path(path)
    if Path(path).parent == Path(".") and shipped.is_file():
        return shipped
    names = ", ".join(sorted(file.stem for file in RECIPES_FOLDER.glob("*.yaml")))
    raise FileNotFoundError(f"recipe '{path}' is neither a file nor one of the shipped recipes: {names}")


def read_recipe(path: str | Path) -> dict[str, Any]:
    """Read a recipe's keys and values as they are written.

    Raises:
        FileNotFoundError: If there is no such recipe.
        ValueError: If the file is not YAML or not a mapping of names to values.
    """
    file = find_recipe(path)
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ValueError(f"{file} must be a mapping of field names to values, one 'name: value' a line")
    return values


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
    origin = "the command line" if path is None else str(find_recipe(path))
    recipe = {} if path is None else read_recipe(path)
    known = {field.name for one in dataclass_types for field in dataclasses.fields(one) if field.init}
    given = dict(overrides) if isinstance(overrides, Mapping) else _without_negations(parse_overrides(overrides), known)
    for key in (*recipe, *given):
        _check_known(key, known, origin if key in recipe else "the command line")
    return tuple(_build(one, {**recipe, **given}, origin, strict=False) for one in dataclass_types)


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


def describe_arguments(dataclass_types: Sequence[type], program: str) -> str:
    """Return the `--help` text of a command: every field with its type, default and help."""
    return HfArgumentParser(list(dataclass_types), prog=program).format_help()  # pyright: ignore[reportArgumentType]


def _check_known(key: str, known: set[str], origin: str) -> None:
    if key in known:
        return
    raise ValueError(f"unknown key '{key}' in {origin}{did_you_mean(key, known)}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return what an error adds about an unknown name: `; did you mean 'nearest'?`, or the few names there are."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; use one of {', '.join(names) or 'none'}" if len(names) <= FEW_NAMES else ""


def _build(dataclass_type: type, values: Mapping[str, Any], origin: str, strict: bool) -> Any:
    """Make one dataclass from the keys it knows; `strict` refuses the others."""
    fields = {field.name: field for field in dataclasses.fields(dataclass_type) if field.init}
    for key in values if strict else ():
        _check_known(str(key), set(fields), origin)
    hints = typing.get_type_hints(dataclass_type)
    chosen = {key: convert(values[key], hints[key], key, origin) for key in values if key in fields}
    for name, field in fields.items():
        has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if name not in chosen and not has_default:
            raise ValueError(f"{origin} gives no '{name}', which {dataclass_type.__name__} needs; add it or --{name}")
    return dataclass_type(**chosen)


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
    if isinstance(value, str):
        value = _expand(value, key, origin)
    if kind in (typing.Union, types.UnionType):
        return _convert_union(value, arguments, key, origin)
    if kind is typing.Literal:
        if value not in arguments:
            raise ValueError(f"{key}={value!r} in {origin} is not one of {', '.join(map(str, arguments))}")
        return value
    if kind in (list, Sequence, tuple) or annotation in (list, tuple):
        items = value if isinstance(value, list) else _parsed(value) if _is_written(value, "[") else [value]
        return [convert(item, arguments[0] if arguments else Any, key, origin) for item in items]
    if kind is dict or annotation is dict:
        return _checked(_parsed(value), dict, key, origin, "a mapping")
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        found = _checked(_parsed(value), dict, key, origin, f"a mapping of the fields of {annotation.__name__}")
        return _build(annotation, found, f"{key} of {origin}", strict=True)
    return _convert_scalar(value, annotation, key, origin)


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
        return str(_checked(value, (str, int, float), key, origin, "text"))
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


def _parsed(value: Any) -> Any:
    """Read a mapping or list that was written as text on the command line."""
    return yaml.safe_load(value) if _is_written(value, "{") or _is_written(value, "[") else value


def _expand(value: str, key: str, origin: str) -> str:
    """Replace `${NAME}` by the environment variable; an unset one is an error, not an empty string."""
    for name in _VARIABLE.findall(value):
        if name not in os.environ:
            raise ValueError(f"{key} in {origin} uses ${{{name}}}, but that environment variable is not set; export it")
    return _VARIABLE.sub(lambda match: os.environ[match[1]], value)
