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


class ParsedFile(NamedTuple):
    """A file that was read: JSON of the whole (`content`) or its rows, with its name for messages."""

    location: str
    rows: list[Row]
    content: Any
