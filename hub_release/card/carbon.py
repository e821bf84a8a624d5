"""Energy and carbon of a run, from the time in its log and from what its owner says about the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SECONDS_AN_HOUR = 3_600


@dataclass(frozen=True)
class CarbonEstimate:
    """An estimate, with what it was made from.

    Attributes:
        hours: time of the training steps.
        power_watts: power of all machines together, as given.
        carbon_intensity: grams of CO2 equivalents a kilowatt-hour, as given.
    """

    hours: float
    power_watts: float
    carbon_intensity: float

    @property
    def kilowatt_hours(self) -> float:
        """Energy of the training steps."""
        return self.hours * self.power_watts / 1_000

    @property
    def grams(self) -> float:
        """Grams of CO2 equivalents."""
        return self.kilowatt_hours * self.carbon_intensity


def training_seconds(records: Sequence[Mapping[str, Any]]) -> float:
    """Return the seconds of the training steps, from the lines of a log.

    Each line gives the speed since the line before it, so a run that stopped and went on is counted whole and none of
    its steps twice; the final `train_runtime` of Trainer knows the last part alone. Evaluation, saving and the
    preparation of text are not in it.

    Args:
        records: lines with `positions_seen`, `fill` and `tokens_per_second`; others are passed over.
    """
    seconds, before = 0.0, 0
    for line in records:
        positions = line.get("positions_seen")
        if positions is None or "loss" not in line:
            continue
        if line.get("tokens_per_second") and "packing_efficiency" in line:
            seconds += (positions - before) * line["packing_efficiency"] / line["tokens_per_second"]
        before = positions
    return seconds


def estimate_carbon(
    records: Sequence[Mapping[str, Any]], power_watts: float, carbon_intensity: float
) -> CarbonEstimate | None:
    """Return the estimate, or None where power and carbon intensity were not given (0).

    Raises:
        ValueError: where they were given and the log has no line about speed.
    """
    if not power_watts:
        return None
    seconds = training_seconds(records)
    if not seconds:
        raise ValueError(
            f"power_watts={power_watts:g} was given, but the checkpoint has no training log with tokens_per_second; "
            "release it from its run's folder, or leave power_watts and carbon_intensity out"
        )
    return CarbonEstimate(seconds / SECONDS_AN_HOUR, power_watts, carbon_intensity)
