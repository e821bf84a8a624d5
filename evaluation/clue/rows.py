"""A row of a file with its location, and the fields that are read from it."""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class Row(NamedTuple):
    """A row with the location it was read from, `file:line` or `file, question 3`."""

    location: str
    values: dict[str, Any]

    def get(self, name: str, kind: type | tuple[type, ...] = str) -> Any:
        """Return a field; a list or mapping may be written as JSON in the cell of a table.

        Raises:
            ValueError: If it is missing or of another type.
        """
        if name not in self.values:
            known = ", ".join(map(str, self.values)) or "nothing"
            raise ValueError(f"{self.location}: the row has no field '{name}', it has {known}")
        value, kinds = self.values[name], kind if isinstance(kind, tuple) else (kind,)
        if isinstance(value, str) and str not in kinds and value.lstrip().startswith(("[", "{")):
            try:
                value = json.loads(value)
            except json.JSONDecodeError as error:
                raise ValueError(f"{self.location}: field '{name}' is not JSON ({error.msg})") from None
        if not isinstance(value, kinds):
            names = " or ".join(one.__name__ for one in kinds)
            raise ValueError(f"{self.location}: field '{name}' is {type(value).__name__}, expected {names}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts; numbers among them are texts too.

        Raises:
            ValueError: If it is missing, no list, or holds anything else.
        """
        values = self.get(name, list)
        for value in values:
            if not isinstance(value, str | int | float):
                raise ValueError(f"{self.location}: field '{name}' holds {type(value).__name__}, expected texts")
        return tuple(map(str, values))

    def rows(self, name: str) -> list[Row]:
        """Return the mappings of a list, each as a row of this location.

        Raises:
            ValueError: If it is missing, no list, or holds anything else.
        """
        return [row_of(value, self.location, name) for value in self.get(name, list)]


def row_of(value: object, location: str, name: str) -> Row:
    """Return a mapping as a row; `name` says what it is, for the error.

    Raises:
        ValueError: If it is no mapping.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{location}: {name} holds {type(value).__name__}, expected a mapping of fields to values")
    return Row(location, value)


class ParsedFile(NamedTuple):
    """A file that was read: JSON of the whole (`content`) or its rows, with its name for messages."""

    location: str
    rows: list[Row]
    content: Any
