"""What people want to know of their glucose at a glance: the newest reading, where it is heading, and how the day has been."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from apiv3.model.documents import MINUTE, Document
from apiv3.model.glucose import in_mgdl

HOUR, DAY = 60 * MINUTE, 1440 * MINUTE
TRENDS = {
    "TripleUp": ("⤊", "rising very fast"),
    "DoubleUp": ("⇈", "rising fast"),
    "SingleUp": ("↑", "rising"),
    "FortyFiveUp": ("↗", "rising slowly"),
    "Flat": ("→", "steady"),
    "FortyFiveDown": ("↘", "falling slowly"),
    "SingleDown": ("↓", "falling"),
    "DoubleDown": ("⇊", "falling fast"),
    "TripleDown": ("⤋", "falling very fast"),
}
"""The field `direction` of an entry -> an arrow, and what it means. Other values say that the sensor does not know."""
_NEARBY = 20 * MINUTE
"""Milliseconds within which an earlier reading tells the change; `_TWICE`: within which it is the same reading, sent twice."""
_TWICE = MINUTE


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading. `date`: ms since 1970. `mgdl`: glucose in mg/dL. `offset`: minutes from UTC where it was measured.

    `direction`: as the sensor names the trend. `device`: what measured it, or sent it.
    """

    date: int
    mgdl: float
    offset: int = 0
    direction: str = ""
    device: str = ""

    @property
    def trend(self) -> tuple[str, str] | None:
        """An arrow and its meaning, None if the sensor does not know."""
        return TRENDS.get(self.direction)


class Shares(NamedTuple):
    """Percentages of readings below, in and above the target range, which add up to 100. `total`: the number of readings."""

    below: int
    within: int
    above: int
    total: int


def readings(entries: Iterable[Document]) -> list[Reading]:
    """Return the entries that have a glucose value as readings, oldest first; each dated no later than it arrived.

    A fast clock of a device must not make a reading look newer than it can be.
    """
    found = [_reading(entry, mgdl) for entry in entries if (mgdl := in_mgdl(entry)) is not None]
    return sorted(found, key=lambda reading: reading.date)


def _reading(entry: Document, mgdl: float) -> Reading:
    date = min(int(entry["date"]), int(entry["srvCreated"]))
    return Reading(date, mgdl, _offset(entry), _text(entry, "direction"), _text(entry, "device"))


def _offset(entry: Document) -> int:
    """Minutes, as the documents have them since they were checked when they came in; 0 for anything else."""
    value: Any = entry.get("utcOffset")
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1440 else 0


def _text(entry: Document, name: str) -> str:
    value = entry.get(name)
    return value if isinstance(value, str) else ""


def before(series: Sequence[Reading]) -> Reading | None:
    """Return the reading that the newest one is compared with: the one before it of the same device, if it is not too old."""
    if not series:
        return None
    newest = series[-1]
    for reading in reversed(series[:-1]):
        age = newest.date - reading.date
        if age > _NEARBY:
            return None
        if age >= _TWICE and reading.device == newest.device:
            return reading
    return None


def midnight(now: int, offset: int) -> int:
    """Return when the day began, in ms since 1970, in a zone `offset` minutes from UTC."""
    shift = offset * MINUTE
    return (now + shift) // DAY * DAY - shift


def shares(series: Iterable[Reading], bottom: float, top: float) -> Shares | None:
    """Return how many readings were within `bottom` and `top` (mg/dL), both included; None without readings."""
    values = [reading.mgdl for reading in series]
    if not values:
        return None
    low, high = sum(value < bottom for value in values), sum(value > top for value in values)
    below, above = round(100 * low / len(values)), round(100 * high / len(values))
    return Shares(below, 100 - below - above, above, len(values))


def ago(ms: int) -> str:
    """Return an age in words: `just now`, `4 minutes ago`, `3 hours ago`, `2 days ago`."""
    for length, unit in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")):
        if ms >= length:
            number = ms // length
            return f"{number} {unit}{'' if number == 1 else 's'} ago"
    return "just now" if ms > -MINUTE else "in the future"
