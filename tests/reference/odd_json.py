"""Every version of a value of JSON in which one place holds something else."""

import copy
from collections.abc import Iterator
from typing import Any

ODD: list[Any] = [
    None,
    True,
    3,
    -1,
    2.5,
    "",
    "odd",
    "[",
    [],
    [None],
    [3],
    [[1]],
    ["odd", "odd"],
    {},
    {"a": None},
    {"odd": [1]},
]


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every value within a value of JSON."""
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _paths(inner, (*path, key))


def odd_versions(value: Any) -> Iterator[tuple[Any, str]]:
    """Yield (version, what is odd about it), each place with each odd value in turn."""
    for path in _paths(value):
        for odd in ODD:
            if not path:
                yield odd, f"all of it is {odd!r}"
                continue
            changed = copy.deepcopy(value)
            place = changed
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = odd
            yield changed, f"{path} is {odd!r}"
