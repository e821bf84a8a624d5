"""Settings of every command: are the numbers in their ranges, and was this folder made with the same ones?

One comparison serves every command that continues work. All options that a command takes must be equal, but for a short
list of those that may differ, and so must be the content of what it reads. A list of what must be equal would forget
the option that comes next.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

ANY_NUMBER = "(-inf, inf)"
# Of fields of Transformers' TrainingArguments, which have no metadata of ours: outside them a run has no step, divides
# by zero or counts further than an index does. Our default.
LIBRARY_RANGES = {
    "gradient_accumulation_steps": "[1, 1e6]",
    "max_steps": "[-1, 1e12]",
    "adam_beta1": "[0, 1)",
    "adam_beta2": "[0, 1)",
    "adam_epsilon": "[0, inf)",
    "weight_decay": "[0, inf)",
    "max_grad_norm": "[0, inf)",
    "dataloader_num_workers": "[0, inf)",
}


def require_ranges(arguments: Any) -> None:
    """Refuse numbers of a dataclass, in lists too, that are not finite or outside the range of their field.

    Args:
        arguments: an instance; a range stands in the field's metadata under `within`, as `[0, 1)`, where a bracket
            takes its end in and a parenthesis leaves it out; `LIBRARY_RANGES` has those of the library's fields

    Raises:
        ValueError: For the first such number.
    """
    for field in dataclasses.fields(arguments):
        given = getattr(arguments, field.name)
        within = field.metadata.get("within") or LIBRARY_RANGES.get(field.name, ANY_NUMBER)
        for number in given if isinstance(given, list | tuple) else [given]:
            if isinstance(number, int | float) and not isinstance(number, bool) and not _is_in(number, within):
                raise ValueError(f"{field.name}={number} is not a number in {within}; give one")


def _is_in(number: float, within: str) -> bool:
    lowest, highest = map(float, within[1:-1].split(","))
    reaches = lowest <= number if within[0] == "[" else lowest < number
    return math.isfinite(number) and reaches and (number <= highest if within[-1] == "]" else number < highest)


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as they come back from JSON: tuples become lists, keys become text, dataclasses mappings."""
    return json.loads(json.dumps(settings, ensure_ascii=False, default=_as_plain))


def _as_plain(value: Any) -> Any:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else str(value)


def differing_settings(
    old: Mapping[str, Any], new: Mapping[str, Any], unrecorded: Mapping[str, Any] | None = None
) -> list[str]:
    """Return what differs, one text per key: `learning_rate was 0.001, is 0.002`.

    Args:
        old: settings read from the folder's record
        new: settings of the run at hand; every key is compared, and a key that only one of the two has differs
        unrecorded: what a setting was that a record of an older version lacks

    Returns:
        An empty list where the two are equal.
    """
    lacking = {key: value for key, value in (unrecorded or {}).items() if key in new}
    before, after = plain({**lacking, **old}), plain(new)
    return [
        f"{key} was {_shown(before, key)}, is {_shown(after, key)}"
        for key in dict.fromkeys([*after, *before])
        if key not in before or key not in after or before[key] != after[key]
    ]


def _shown(settings: Mapping[str, Any], key: str) -> str:
    return repr(settings[key]) if key in settings else "not recorded"
