"""The last 24 hours as an SVG chart that is made here, so that it needs no script.

The points stand in a part of the picture of their own, which is as wide as the page lets it be; its coordinates are minutes and
pixels. Texts stand below it and on its left, placed by percentages, so that they keep their size and no point hides them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from apiv3.model.documents import MINUTE
from apiv3.model.glucose import Unit
from apiv3.model.overview import DAY, HOUR, Reading

HEIGHT = 260
"""Pixels of the part with the points."""
_LOWEST, _LEAST_TOP, _HIGHEST = 40, 300, 600
"""mg/dL at the lower edge; at the upper edge at least, and at most, whatever the readings are."""
_STEPS = 3
"""Hours between two labels of the time."""


class Tick(NamedTuple):
    """A label of an axis. `at`: its place, in percent of the width, or in pixels of the height. `minor`: left out on phones."""

    at: float
    text: str
    minor: bool = False


class Chart(NamedTuple):
    """What the template draws. `band`: the upper edge and the height of the target range. `points`: for below, in and above it,
    the commands of a path with a dot for each reading. `sentence`: what there is to see, in words.
    """

    band: tuple[float, float]
    points: Sequence[tuple[str, str]]
    levels: Sequence[Tick]
    hours: Sequence[Tick]
    sentence: str


def chart(series: Sequence[Reading], now: int, offset: int, target: tuple[float, float], unit: Unit) -> Chart:
    """Return the chart of the readings of the 24 hours before `now`. `offset`: of the clock that people read, in minutes from
    UTC. `target`: bottom and top of the target range in mg/dL.
    """
    bottom, top = target
    edge = min(_HIGHEST, max(_LEAST_TOP, top, *(reading.mgdl for reading in series)))

    def height(mgdl: float) -> float:
        return round(HEIGHT * (edge - min(max(mgdl, _LOWEST), edge)) / (edge - _LOWEST), 1)

    def dots(some: Iterable[Reading]) -> str:
        return "".join(f"M{(each.date - now + DAY) // MINUTE} {height(each.mgdl)}h0" for each in some)

    points = [
        ("low", dots(each for each in series if each.mgdl < bottom)),
        ("within", dots(each for each in series if bottom <= each.mgdl <= top)),
        ("high", dots(each for each in series if each.mgdl > top)),
    ]
    levels = [Tick(height(each), unit.text(each)) for each in (bottom, top, *([250] if top < 220 else []))]
    return Chart(
        (height(top), height(bottom) - height(top)), points, levels, _hours(now, offset), _sentence(series, target, unit)
    )


def _hours(now: int, offset: int) -> list[Tick]:
    """Return the hours of the clock that are multiples of `_STEPS`, without those whose labels would be cut off."""
    begin, step, shift = now - DAY, _STEPS * HOUR, offset * MINUTE
    first = -(-(begin + shift) // step) * step - shift
    places = ((time, 100 * (time - begin) / DAY) for time in range(first, now + 1, step))
    return [
        Tick(round(at, 2), f"{(time + shift) // HOUR % 24:02d}:00", minor=(time + shift) // HOUR % (2 * _STEPS) != 0)
        for time, at in places
        if 2 < at < 98
    ]


def _sentence(series: Sequence[Reading], target: tuple[float, float], unit: Unit) -> str:
    if not series:
        return "There is no reading of the last 24 hours."
    least, most = min(reading.mgdl for reading in series), max(reading.mgdl for reading in series)
    number = "1 reading" if len(series) == 1 else f"{len(series)} readings"
    return (
        f"{number}, from {unit.reading(least)} to {unit.reading(most)} {unit.value}. "
        f"The target range from {unit.text(target[0])} to {unit.text(target[1])} {unit.value} is shaded."
    )
