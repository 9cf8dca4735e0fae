"""Glucose: what an entry of type `sgv` says, in mg/dL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MG_PER_MMOL = 18.0182
"""mg/dL in one mmol/L: the molar mass of glucose, 180.16 g/mol, over ten, as glucose meters round it."""
LOWEST = 39
"""What sensors write for LOW, in mg/dL; what is below is a code for an error."""


def in_mgdl(entry: Mapping[str, Any]) -> float | None:
    """The `sgv` of an entry in mg/dL, whatever its `units`; None when it is no number, or the code of an error."""
    value, units = entry.get("sgv"), entry.get("units")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    mgdl = value * MG_PER_MMOL if isinstance(units, str) and "mmol" in units.lower() else value
    return mgdl if mgdl >= LOWEST else None
