"""Sentence templates: how a row of facts, or two rows, becomes Chinese text.

A template is text with fields in braces. ``{capital}`` is a field of the row, ``{other.capital}`` the same field of a
second row; a list is joined with 、 and 和, ``{cities.each}`` makes one text for each item, ``{order.words}`` writes a
number in characters, and ``{strings.count}`` as one says it before a classifier (两, not 二). A template that names a
field which a row lacks makes no text for this row, so rare facts need no flag.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import product

from .numerals import chinese_numeral

Fact = str | int | list[str]
Row = dict[str, Fact]

PLACEHOLDER = re.compile(r"\{([a-z_.]+)\}")


@dataclass(frozen=True)
class Template:
    """One template and the rows it fits.

    The conditions keep every text true: a sentence that sets two rows apart asks for facts which differ.
    """

    sentences: tuple[tuple[str, ...], ...]
    """Sentences in order, each with its wordings; one sentence with one wording for a plain template."""
    where: Mapping[str, Fact] = field(default_factory=dict)
    """Fields of the row and the value (or the list of values) each must have."""
    differ: tuple[str, ...] = ()
    """Fields in which the other row shares nothing with the row."""
    same: tuple[str, ...] = ()
    """Fields in which the other row shares something with the row."""
    less: str = ""
    """Number field that is smaller in the row than in the other row."""
    next: str = ""
    """Number field that is larger by one in the other row."""
    by: str = ""
    """Field by which rows are grouped (groups only)."""
    limit: int = 2
    """How many other rows, or samples of a group, are taken for one row or group."""

    @property
    def needs_other(self) -> bool:
        """Tell whether a second row is named."""
        return any("{other." in wording for wordings in self.sentences for wording in wordings)

    def fits(self, row: Row) -> bool:
        """Tell whether the row has the required values."""
        return all(key in row and set(items(row[key])) & set(items(value)) for key, value in self.where.items())

    def fits_pair(self, row: Row, other: Row) -> bool:
        """Tell whether the two rows are in the required relation."""
        named = {*self.differ, *self.same, *filter(None, (self.less, self.next))}
        if row is other or any(key not in row or key not in other for key in named):
            return False
        if any(shared(row, other, key) for key in self.differ) or not all(shared(row, other, key) for key in self.same):
            return False
        if self.less and not number(row, self.less) < number(other, self.less):
            return False
        return not self.next or number(other, self.next) == number(row, self.next) + 1


def parse_template(entry: object, source: str) -> Template:
    """Read one template: a text, or a mapping with `text` or `sentences` and conditions.

    Args:
        entry: what the YAML file holds
        source: the file's name, for messages

    Returns:
        The template.

    Raises:
        ValueError: If the entry has another form or an unknown key.
    """
    if isinstance(entry, str):
        return Template(sentences=((entry,),))
    known = {item.name for item in fields(Template)} | {"text"}
    if not isinstance(entry, dict) or not set(entry) <= known or ("text" in entry) == ("sentences" in entry):
        raise ValueError(
            f"{source}: {entry!r} is no template; give a text, or a mapping with keys among {sorted(known)}"
        )
    options = {key: value for key, value in entry.items() if key not in ("text", "sentences")}
    for key in ("differ", "same"):
        options[key] = tuple(items(options.get(key, [])))
    sentences = entry.get("sentences", [entry.get("text")])
    return Template(sentences=tuple(tuple(map(str, items(wordings))) for wordings in sentences), **options)


def render(text: str, row: Row, other: Row | None = None) -> list[str]:
    """Fill a template's fields.

    Args:
        text: the template
        row: facts for plain fields
        other: facts for fields that start with ``other.``

    Returns:
        One text for each combination of the items asked for with ``.each``; none when a field is missing.
    """
    names = sorted(set(PLACEHOLDER.findall(text)))
    choices = product(*(_values(name, row, other or {}) for name in names))
    return [_fill(text, dict(zip(names, choice, strict=True))) for choice in choices]


def join_items(names: Sequence[str]) -> str:
    """Join names as a Chinese list: 甲、乙和丙."""
    return names[0] if len(names) == 1 else "、".join(names[:-1]) + "和" + names[-1]


def items(fact: Fact | tuple[str, ...]) -> list[str | int]:
    """Give a fact as a list: a single value is a list of one."""
    return list(fact) if isinstance(fact, list | tuple) else [fact]


def shared(row: Row, other: Row, key: str) -> bool:
    """Tell whether two rows have a value of a field in common."""
    return bool(set(items(row[key])) & set(items(other[key])))


def number(row: Row, key: str) -> int:
    """Read a number field; a field of another type is an error in the table."""
    value = row[key]
    if not isinstance(value, int):
        raise ValueError(f"{key}={value!r} is compared as a number; write a whole number")
    return value


def _values(name: str, row: Row, other: Row) -> list[str]:
    """List the texts that may stand for a placeholder, none when the field is missing."""
    scope = other if name.startswith("other.") else row
    key, _, form = name.removeprefix("other.").partition(".")
    if key not in scope:
        return []
    values = items(scope[key])
    if form == "count" and values == [2]:
        return ["两"]
    if form in ("words", "count"):
        return [chinese_numeral(number(scope, key))]
    texts = [str(value) for value in values]
    return texts if form == "each" else [join_items(texts)]


def _fill(text: str, values: Mapping[str, str]) -> str:
    """Put the values into the text."""
    return PLACEHOLDER.sub(lambda match: values[match[1]], text)
