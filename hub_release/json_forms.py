"""Reading JSON that a stranger wrote, and comparing it with the form that it should have; nothing but `json` is used.

A form is plain data: a type (`bool`, `int`, `float` for any number, `str`, `None`, `object` for anything), a pattern
that a whole text must match, a `frozenset` of the only values, a list of one form for lists of any length, a dictionary
of the keys that may be there, `Names` for keys of the author's choice, `Typed` for objects whose `type` says the rest,
or a tuple of alternatives.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# Above this a number is no size of a model; floats hold every whole number below. Source: IEEE 754.
LARGEST_INT = 2**53
SHOWN = 60
KINDS = {None: "null", bool: "true or false", int: "a whole number", float: "a number", str: "text"}


@dataclass(frozen=True)
class Names:
    """The form of an object whose keys its author chose.

    Attributes:
        name: form of every key
        value: form of every value
    """

    name: Any
    value: Any


@dataclass(frozen=True)
class Typed:
    """The form of an object whose `type` decides which other keys it may have.

    Attributes:
        kinds: the other keys by type; it may be filled later, for kinds that hold each other
    """

    kinds: Mapping[str, Mapping[str, Any]]


def strict_json(content: bytes) -> Any:
    """Return the value of JSON that every reader reads alike.

    Raises:
        ValueError: For what is not JSON in UTF-8, for a key that is given twice, a number that is none or too large for
            a float, half a surrogate pair, or nesting that no reader follows.
    """
    try:
        value = json.loads(
            content.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse_constant, parse_float=_finite
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def form_faults(value: Any, form: Any, place: str = "") -> Iterator[str]:
    """Yield where a value of JSON is not of a form, one text each; nothing of the value is repeated at length.

    Args:
        value: as `strict_json` returned it
        form: see the module
        place: how the value is called in the texts
    """
    if isinstance(form, tuple):
        found = [list(form_faults(value, one, place)) for one in form]
        yield from min(found, key=len)
    elif isinstance(form, Typed):
        kind = value.get("type") if isinstance(value, dict) else None
        if not isinstance(kind, str) or kind not in form.kinds:
            yield f"{place} is {_short(value)}, wanted is an object whose type is one of {', '.join(form.kinds)}"
        else:
            yield from form_faults(value, {"type": str, **form.kinds[kind]}, place)
    elif isinstance(form, list):
        if not isinstance(value, list):
            yield f"{place} is {_short(value)}, wanted is a list"
            return
        for index, item in enumerate(value):
            yield from form_faults(item, form[0], f"{place}[{index}]")
    elif isinstance(form, dict | Names):
        if not isinstance(value, dict):
            yield f"{place} is {_short(value)}, wanted is an object"
            return
        yield from _key_faults(value, form, place)
    elif not _fits(value, form):
        yield f"{place} is {_short(value)}, wanted is {_described(form)}"


def _key_faults(value: dict[str, Any], form: dict[str, Any] | Names, place: str) -> Iterator[str]:
    """Yield the keys of an object that may not be there, and what is wrong with the values of the others."""
    for name, one in value.items():
        where = f"{place}.{_short(name)[1:-1]}" if place else _short(name)[1:-1]
        if isinstance(form, Names):
            yield from (f"{where} is no name for this" for _ in form_faults(name, form.name))
            yield from form_faults(one, form.value, where)
        elif name in form:
            yield from form_faults(one, form[name], where)
        else:
            yield f"{where} is no key that a release has"


def _fits(value: Any, form: Any) -> bool:
    """Tell whether a value that is no container is of a form; `True` is no number here."""
    if form is object:
        return True
    if form is None:
        return value is None
    if isinstance(form, frozenset):
        return any(type(value) is type(known) and value == known for known in form)
    if isinstance(form, re.Pattern):
        return isinstance(value, str) and form.fullmatch(value) is not None
    if type(value) is int:
        return form in (int, float) and abs(value) <= LARGEST_INT
    return type(value) is form


def _described(form: Any) -> str:
    """Return what an error calls a form."""
    if isinstance(form, frozenset):
        return "one of " + ", ".join(sorted(map(repr, form)))
    if isinstance(form, re.Pattern):
        return f"text like {form.pattern}"
    return KINDS[form]


def _short(value: Any) -> str:
    """Return a value as plain ASCII on one line, cut to a readable length."""
    text = f"an object of {len(value)} keys" if isinstance(value, dict) else ascii(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object whose keys are given once each."""
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{_short(twice)} is given twice")
    return values


def _refuse_constant(name: str) -> Any:
    """Refuse `NaN` and `Infinity`, which Python reads and JSON does not have."""
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    """Return a number that a float holds."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{_short(text)} is larger than any float")
    return number
