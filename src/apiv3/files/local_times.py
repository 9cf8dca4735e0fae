"""Convert local times to moments.

When clocks go back, an hour occurs twice, and only the order of the times shows which occurrence a time belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from itertools import groupby, pairwise
from typing import NamedTuple

_STEP = timedelta(minutes=1)
"""A time that is earlier than the time before it in the file by at least this much means that the clock went back."""
_CLOSE = timedelta(minutes=30)
"""Times that are at most this far apart belong to the same run of readings."""


class Local(NamedTuple):
    """A local time of one device. `steady`: whether it belongs to a regular reading; those are in order."""

    time: datetime
    device: str
    steady: bool


class Placed(NamedTuple):
    """A moment. `certain`: False if the local time occurs twice and nothing shows which occurrence it is."""

    time: datetime
    certain: bool


def moments(times: Sequence[Local], zone: tzinfo) -> list[Placed]:
    """Convert the times of a file. Each device's times may be in ascending or descending order."""
    found: dict[int, Placed] = {}
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


def _in_order(times: Sequence[Local], zone: tzinfo) -> list[Placed]:
    """Convert the times of one device, oldest first."""
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
        Placed(each.time.replace(tzinfo=zone, fold=fold), certain)
        for each, (fold, certain) in ((each, folds.get(place, (0, True))) for place, each in enumerate(times))
    ]


def _comes_twice(local: datetime, zone: tzinfo) -> bool:
    first, second = (local.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta() for fold in (0, 1))
    return first > second  # it is less in the hour that clocks skip in spring


def _folds(run: Sequence[datetime], before: datetime | None, after: datetime | None) -> list[tuple[int, bool]]:
    """Say for each reading in an hour that occurs twice which occurrence it is (0 or 1), and whether that is certain.

    `before` and `after`: the readings next to the run. If the times go back, the clock went back there. If they do not, all
    readings are of the same occurrence: the first if they continue from `before`, the second if they lead on to `after`.
    """
    steps = [one - other for one, other in pairwise(run)]
    if steps and max(steps) >= _STEP:
        second = steps.index(max(steps)) + 1
        return [(int(place >= second), True) for place in range(len(run))]
    follows = before is not None and run[0] - before <= _CLOSE
    goes_on = after is not None and after - run[-1] <= _CLOSE
    return [(int(goes_on and not follows), goes_on != follows)] * len(run)


_Neighbour = tuple[datetime, int]
"""A reading in an hour that occurs twice, and which occurrence it is."""


def _neighbours(times: Sequence[Local], folds: dict[int, tuple[int, bool]], place: int) -> list[_Neighbour]:
    """Return the nearest regular readings before and after a place that are in an hour that occurs twice."""
    in_front = next((each for each in range(place - 1, -1, -1) if times[each].steady), None)
    behind = next((each for each in range(place + 1, len(times)) if times[each].steady), None)
    return [(times[each].time, folds[each][0]) for each in (in_front, behind) if each is not None and each in folds]


def _beside(local: datetime, neighbours: list[_Neighbour]) -> tuple[int, bool]:
    """Return the occurrence for a time among readings (that of the nearest one within 12 hours), and whether there is one."""
    near = [each for each in neighbours if abs(each[0] - local) < timedelta(hours=12)]
    if not near:
        return 0, False
    return min(near, key=lambda each: abs(each[0] - local))[1], True
