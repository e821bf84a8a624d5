"""The text of `--help`: the options of a command in groups, each with its value, its default and a line of help."""

import dataclasses
import textwrap
import types
import typing
from typing import Any

from .options import accepted_names, default_of, own_names

WIDTH = 100
# Longer names have their help on the next line. Our default.
WIDEST_NAME = 32


def describe_options(kind: type, usage: str, purpose: str, has_more: bool = False) -> str:
    """Return the help of a command.

    Args:
        kind: its dataclass; one with `library_options` shows the library's fields too, those that act and the others
        usage: how the command is called
        purpose: what it is for
        has_more: `kind` is the command's own part of a larger dataclass, which `--help_all` shows
    """
    table = getattr(kind, "library_options", None)
    lines = [f"usage: {usage}", "", *_wrapped(purpose[0].upper() + purpose[1:], 0)]
    hints, fields = typing.get_type_hints(kind), {field.name: field for field in dataclasses.fields(kind)}
    own = [fields[name] for name in own_names(kind)]
    if own and not own[0].metadata.get("group"):
        lines += ["", "Options"]
    for field in own:
        if field.metadata.get("group"):
            lines += ["", field.metadata["group"]]
        lines += _lines_of(field, hints[field.name])
    for field in own:
        lines += _keys_of(field, hints[field.name])
    lines += ["", "Other options", *_row("--config RECIPE", "YAML file, or the name of a shipped recipe. Once.")]
    if table is None:
        more = ("--help_all", "This text and the fields of the library that act here too.")
        return "\n".join([*lines, *_row(*(more if has_more else ("--help", "This text.")))])
    lines += ["", "Fields of the library that act here"]
    rest = accepted_names(kind) - set(own_names(kind))
    lines += [line for name in fields if name in rest for line in _library_lines(fields[name], hints[name])]
    lines += ["", "Fields of the library that are refused"]
    lines += [line for name in sorted(table.refused) for line in _row(f"--{name}", f"{table.refused[name]}.")]
    return "\n".join(lines)


def _lines_of(field: dataclasses.Field, annotation: Any, dashes: str = "--") -> list[str]:
    """Return the lines of an option, or of a key, which has no dashes before its name."""
    default, text = default_of(field), str(field.metadata.get("help", ""))
    if default is dataclasses.MISSING:
        text = f"{text} Required.".lstrip()
    elif _is_shown(default):
        text = f"{text} Default: {'on' if default is True else default}.".lstrip()
    name = f"--[no_]{field.name}" if default is True and dashes else f"{dashes}{field.name}"
    return _row(f"{name} {_value_of(annotation)}".rstrip(), text)


def _keys_of(field: dataclasses.Field, annotation: Any) -> list[str]:
    """Return the section of the keys of an option's file or mappings; of keys without help their names."""
    kinds = [field.metadata.get("keys"), *typing.get_args(annotation)]
    kind = next((one for one in kinds if isinstance(one, type) and dataclasses.is_dataclass(one)), None)
    if kind is None:
        return []
    keys, hints = dataclasses.fields(kind), typing.get_type_hints(kind)
    title = f"Keys of {field.name}"
    if not all(key.metadata.get("help") for key in keys):
        return ["", *_wrapped(f"{title}: {', '.join(key.name for key in keys)}.", 0)]
    return ["", title, *(line for key in keys for line in _lines_of(key, hints[key.name], dashes=""))]


def _library_lines(field: dataclasses.Field, annotation: Any) -> list[str]:
    """Return the lines of a library's field, whose help has several sentences: the first."""
    text = " ".join(str(field.metadata.get("help", "")).split()).split(". ")[0].rstrip(".")
    default = default_of(field)
    shown = f" Default: {getattr(default, 'value', default)}." if _is_shown(default) else ""
    return _row(f"--{field.name} {_value_of(annotation)}".rstrip(), f"{text}.{shown}")


def _is_shown(default: Any) -> bool:
    """Return whether a default says more than that nothing is given."""
    return not (default is None or default is False or default in ("", []))


def _row(name: str, text: str) -> list[str]:
    """Return a name and its help, wrapped behind it."""
    lines = _wrapped(text, WIDEST_NAME + 2)
    first = f"  {name}"
    if len(first) > WIDEST_NAME:
        return [first, *lines]
    return [first.ljust(WIDEST_NAME + 2) + lines[0].lstrip(), *lines[1:]]


def _wrapped(text: str, indent: int) -> list[str]:
    space = " " * indent
    return textwrap.wrap(text, WIDTH, initial_indent=space, subsequent_indent=space, break_on_hyphens=False) or [""]


def _value_of(annotation: Any) -> str:
    """Return what stands for an option's value in the help; nothing for a switch."""
    kind, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if kind in (typing.Union, types.UnionType):
        return _value_of(next(one for one in arguments if one is not type(None)))
    if annotation is bool:
        return ""
    if annotation in (int, float):
        return "N"
    if kind is typing.Literal:
        return "|".join(map(str, arguments))
    if kind is list:
        return "{...} ..." if dataclasses.is_dataclass(arguments[0]) else f"{_value_of(arguments[0])} ..."
    return "{...}" if dict in (kind, annotation) else "TEXT"
