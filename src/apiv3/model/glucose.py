"""Glucose: what the values of entries of type `sgv` mean, in mg/dL, and how people read them, in mg/dL or mmol/L."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

MG_PER_MMOL = 18
"""mg/dL in one mmol/L, as meters and apps count: 180 mg/dL are 10.0 mmol/L, and 100 are 5.6. By the molar mass it is 18.016."""
LOWEST = 39
"""The value that sensors send for LOW, in mg/dL. Values below it are error codes."""


class Unit(Enum):
    """A unit in which people read glucose. Its value is its name."""

    MGDL = "mg/dL"
    MMOL = "mmol/L"

    def text(self, mgdl: float) -> str:
        """Return a value as people read it: whole mg/dL, or mmol/L with one decimal; halves are rounded up."""
        return f"{self._steps(mgdl)}" if self is Unit.MGDL else f"{self._steps(mgdl) / 10:.1f}"

    def reading(self, mgdl: float) -> str:
        """Return a value that a sensor has sent as people read it: LOW in place of the least one."""
        return "LOW" if mgdl <= LOWEST else self.text(mgdl)

    def change(self, before: float, after: float) -> str:
        """Return the difference of two values in mg/dL, as it is between the two texts: `+3`, `-0.2`, `±0`."""
        steps = self._steps(after) - self._steps(before)
        if steps == 0:
            return "±0" if self is Unit.MGDL else "±0.0"
        return f"{steps:+d}".replace("-", "−") if self is Unit.MGDL else f"{steps / 10:+.1f}".replace("-", "−")

    def _steps(self, mgdl: float) -> int:
        """The value in the smallest steps that are shown, rounded."""
        return int((mgdl if self is Unit.MGDL else mgdl * 10 / MG_PER_MMOL) + 0.5)


def in_mgdl(entry: Mapping[str, Any]) -> float | None:
    """Return the `sgv` of an entry in mg/dL, whatever its `units`; None if it is no number, or an error code."""
    value, units = entry.get("sgv"), entry.get("units")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    mgdl = value * MG_PER_MMOL if isinstance(units, str) and "mmol" in units.lower() else value
    return mgdl if mgdl >= LOWEST else None
