"""Was this folder made with the same settings? One comparison for every command that continues work."""

import json
from collections.abc import Mapping
from typing import Any


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as they come back from JSON: tuples become lists, keys become text."""
    return json.loads(json.dumps(settings, ensure_ascii=False))


def differing_settings(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what differs, one text per key: `learning_rate was 0.001, is 0.002`.

    Args:
        old: settings read from the folder's record
        new: settings of the run at hand; every key is compared, and a key that only one of the two has differs

    Returns:
        An empty list where the two are equal.
    """
    before, after = plain(old), plain(new)
    return [
        f"{key} was {_shown(before, key)}, is {_shown(after, key)}"
        for key in dict.fromkeys([*after, *before])
        if key not in before or key not in after or before[key] != after[key]
    ]


def _shown(settings: Mapping[str, Any], key: str) -> str:
    return repr(settings[key]) if key in settings else "not recorded"
