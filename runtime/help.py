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


@dataclasses.dataclass(frozen=True)
class Section:
    """Options that stand together.

    Attributes:
        title: their group; empty for options without one
        rows: `(name with its value, what it does)` of each
        text: instead of rows, one sentence
    """

    title: str
    rows: tuple[tuple[str, str], ...] = ()
    text: str = ""


def describe_options(kind: type, usage: str, purpose: str, has_more: bool = False) -> str:
    """Return the help of a command.

    Args:
        kind: its dataclass; one with `library_options` shows the library's fields too, those that act and the others
        usage: how the command is called
        purpose: what it is for
        has_more: `kind` is the command's own part of a larger dataclass, which `--help_all` shows
    """
    lines = [f"usage: {usage}", "", *_wrapped(purpose[0].upper() + purpose[1:], 0)]
    for section in option_sections(kind):
        lines += ["", *_wrapped(f"{section.title}: {section.text}", 0)] if section.text else ["", section.title]
        lines += [line for row in section.rows for line in _row(*row)]
    if getattr(kind, "library_options", None) is None:
        more = ("--help_all", "This text and the fields of the library that act here too.")
        lines += _row(*(more if has_more else ("--help", "This text.")))
    return "\n".join(lines)


def option_sections(kind: type) -> list[Section]:
    """Return the options of a command's dataclass: its own in groups, keys of mappings, fields of the library."""
    table = getattr(kind, "library_options", None)
    hints, fields = typing.get_type_hints(kind), {field.name: field for field in dataclasses.fields(kind)}
    own = [fields[name] for name in own_names(kind)]
    groups: list[tuple[str, list[tuple[str, str]]]] = []
    for field in own:
        if not groups or field.metadata.get("group"):
            groups.append((field.metadata.get("group") or "Options", []))
        groups[-1][1].append(_row_of(field, hints[field.name]))
    sections = [Section(title, tuple(rows)) for title, rows in groups]
    sections += [section for field in own if (section := _keys_of(field, hints[field.name]))]
    config = ("--config RECIPE", "YAML file, or the name of a shipped recipe. Once.")
    sections.append(Section("Other options", (config,)))
    if table is None:
        return sections
    rest = accepted_names(kind) - set(own_names(kind))
    acting = tuple(_library_row(fields[name], hints[name]) for name in fields if name in rest)
    refused = tuple((f"--{name}", f"{table.refused[name]}.") for name in sorted(table.refused))
    return [
        *sections,
        Section("Fields of the library that act here", acting),
        Section("Fields of the library that are refused", refused),
    ]


def _row_of(field: dataclasses.Field, annotation: Any, dashes: str = "--") -> tuple[str, str]:
    """Return name and text of an option, or of a key, which has no dashes before its name."""
    default, text = default_of(field), str(field.metadata.get("help", ""))
    if default is dataclasses.MISSING:
        text = f"{text} Required.".lstrip()
    elif _is_shown(default):
        text = f"{text} Default: {'on' if default is True else default}.".lstrip()
    name = f"--[no_]{field.name}" if default is True and dashes else f"{dashes}{field.name}"
    return f"{name} {_value_of(annotation)}".rstrip(), text


def _keys_of(field: dataclasses.Field, annotation: Any) -> Section | None:
    """Return the section of the keys of an option's file or mappings; of keys without help their names."""
    kinds = [field.metadata.get("keys"), *typing.get_args(annotation)]
    kind = next((one for one in kinds if isinstance(one, type) and dataclasses.is_dataclass(one)), None)
    if kind is None:
        return None
    keys, hints = dataclasses.fields(kind), typing.get_type_hints(kind)
    title = f"Keys of {field.name}"
    if not all(key.metadata.get("help") for key in keys):
        return Section(title, text=f"{', '.join(key.name for key in keys)}.")
    return Section(title, tuple(_row_of(key, hints[key.name], dashes="") for key in keys))


def _library_row(field: dataclasses.Field, annotation: Any) -> tuple[str, str]:
    """Return name and text of a library's field, whose help has several sentences: the first."""
    text = " ".join(str(field.metadata.get("help", "")).split()).split(". ")[0].rstrip(".")
    default = default_of(field)
    shown = f" Default: {getattr(default, 'value', default)}." if _is_shown(default) else ""
    return f"--{field.name} {_value_of(annotation)}".rstrip(), f"{text}.{shown}"


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
