"""Convert the glucose values of entries of type `sgv` to mg/dL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MG_PER_MMOL = 18.0182
"""mg/dL in one mmol/L: the molar mass of glucose, 180.16 g/mol, over ten, as glucose meters round it."""
LOWEST = 39
"""The value that sensors send for LOW, in mg/dL. Values below it are error codes."""


def in_mgdl(entry: Mapping[str, Any]) -> float | None:
    """Return the `sgv` of an entry in mg/dL, whatever its `units`; None if it is no number, or an error code."""
    value, units = entry.get("sgv"), entry.get("units")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    mgdl = value * MG_PER_MMOL if isinstance(units, str) and "mmol" in units.lower() else value
    return mgdl if mgdl >= LOWEST else None
