"""Exports of Dexcom Clarity, and what is in them by this module's own reading. A real one may lie beside the clone: it is no
part of the repository, since it is somebody's."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Reading = dict[str, Any]

EXPORTS = {"sample": Path(__file__).parents[1] / "data/clarity-sample.csv"}
"""One that is made up; and the real one with 2,148 readings, where it is there. Otherwise no test of it is collected."""
_REAL = Path(__file__).parents[3] / "shared/data/dexcom-clarity-export.csv"
if _REAL.exists():
    EXPORTS["real"] = _REAL
BEYOND = {"Low": 39, "High": 401}
"""What the receiver writes instead of a number, and what apps store for it."""


def readings(path: Path) -> list[Reading]:
    """The sensor's readings out of an export of Dexcom Clarity, as an app uploads them, oldest first."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["Event Type"] == "EGV"]
    return sorted(map(reading, rows), key=lambda each: int(each["date"]))


def reading(row: dict[str, str]) -> Reading:
    local = datetime.fromisoformat(row["Timestamp (YYYY-MM-DDThh:mm:ss)"]).replace(tzinfo=UTC)
    glucose = row["Glucose Value (mg/dL)"]
    return {
        "type": "sgv",
        "sgv": BEYOND[glucose] if glucose in BEYOND else int(glucose),
        "units": "mg/dl",
        "date": int(local.timestamp()) * 1000,
        "device": row["Source Device ID"],
        "app": "clarity-upload",
    }
