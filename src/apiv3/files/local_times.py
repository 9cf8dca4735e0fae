"""Local times as moments. When the clocks go back an hour comes twice, and only the order of the times tells which is which."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from itertools import groupby, pairwise
from typing import NamedTuple

_STEP = timedelta(minutes=1)
"""How far a time has to lie before the one that stands in front of it to mean that the clock went back."""
_CLOSE = timedelta(minutes=30)
"""Times that are no further apart belong to the same stretch of readings."""


class Local(NamedTuple):
    """A time of one device. `steady`: whether it is one of its regular readings, which stand in order."""

    time: datetime
    device: str
    steady: bool


class Moment(NamedTuple):
    """`certain`: False where it is in the hour that comes twice, and nothing tells in which of them."""

    time: datetime
    certain: bool


def moments(times: Sequence[Local], zone: tzinfo) -> list[Moment]:
    """The moments of times that stand in a file in this order, or, for each device, in the opposite one."""
    found: dict[int, Moment] = {}
    for device in dict.fromkeys(each.device for each in times):
        places = [place for place, each in enumerate(times) if each.device == device]
        if _is_descending([times[place] for place in places]):
            places.reverse()
        found |= zip(places, _in_order([times[place] for place in places], zone), strict=True)
    return [found[place] for place in range(len(times))]


def _is_descending(times: Sequence[Local]) -> bool:
    steady = [each.time for each in times if each.steady] or [each.time for each in times]
    back = sum(one > other for one, other in pairwise(steady))
    return back > sum(one < other for one, other in pairwise(steady))


def _in_order(times: Sequence[Local], zone: tzinfo) -> list[Moment]:
    """The moments of one device's times, oldest first."""
    folds: dict[int, tuple[int, bool]] = {}
    steady = [place for place, each in enumerate(times) if each.steady]
    position = 0
    for twice, group in groupby(steady, key=lambda place: _comes_twice(times[place].time, zone)):
        run = [times[place].time for place in group]
        if twice:
            before = times[steady[position - 1]].time if position else None
            end = position + len(run)
            after = times[steady[end]].time if end < len(steady) else None
            folds |= zip(steady[position:end], _folds(run, before, after), strict=True)
        position += len(run)
    for place, each in enumerate(times):
        if not each.steady and _comes_twice(each.time, zone):
            folds[place] = _beside(each.time, _neighbours(times, folds, place))
    return [
        Moment(each.time.replace(tzinfo=zone, fold=fold), certain)
        for each, (fold, certain) in ((each, folds.get(place, (0, True))) for place, each in enumerate(times))
    ]


def _comes_twice(local: datetime, zone: tzinfo) -> bool:
    first, second = (local.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta() for fold in (0, 1))
    return first > second  # it is less in the hour that never comes


def _folds(run: Sequence[datetime], before: datetime | None, after: datetime | None) -> list[tuple[int, bool]]:
    """For readings in the hour that comes twice: 0 for the first time, 1 for the second; and whether that is certain.

    `before` and `after`: the readings on both sides of it. The clock went back where the times do. Where they do not, there
    are readings of one of the two hours only: the one that goes on from what is before it, or on to what is after it.
    """
    steps = [one - other for one, other in pairwise(run)]
    if steps and max(steps) >= _STEP:
        second = steps.index(max(steps)) + 1
        return [(int(place >= second), True) for place in range(len(run))]
    follows = before is not None and run[0] - before <= _CLOSE
    goes_on = after is not None and after - run[-1] <= _CLOSE
    return [(int(goes_on and not follows), goes_on != follows)] * len(run)


_Neighbour = tuple[datetime, int]
"""A reading in the hour that comes twice, and which of them it is."""


def _neighbours(times: Sequence[Local], folds: dict[int, tuple[int, bool]], place: int) -> list[_Neighbour]:
    """The readings in front of a place and behind it, as far as they are in an hour that comes twice."""
    in_front = next((each for each in range(place - 1, -1, -1) if times[each].steady), None)
    behind = next((each for each in range(place + 1, len(times)) if times[each].steady), None)
    return [(times[each].time, folds[each][0]) for each in (in_front, behind) if each is not None and each in folds]


def _beside(local: datetime, neighbours: list[_Neighbour]) -> tuple[int, bool]:
    """For what stands among readings, in order or not: it belongs to the hour of the nearer one of the same night."""
    near = [each for each in neighbours if abs(each[0] - local) < timedelta(hours=12)]
    if not near:
        return 0, False
    return min(near, key=lambda each: abs(each[0] - local))[1], True
