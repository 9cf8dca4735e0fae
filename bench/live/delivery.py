"""Check that subscribers received all stored changes, in order and once."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice, pairwise

SHOWN = 3
"""The number of faults that are shown; the others are only counted."""


@dataclass(frozen=True, slots=True)
class Told:
    """The changes that one subscriber received: the `srvModified` (ms) of each. `whole`: its connection is still open."""

    changes: array[int]
    whole: bool
    strange: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """The changes that all subscribers of a server received. `told`: the sum over all subscribers.

    `last`: when the last change came (s since 1970). `busy`: how busy the process of the subscribers was, 0 to 1.
    """

    subscribers: int
    let_go: int
    told: int
    faults: tuple[str, ...] = ()
    last: float = 0.0
    busy: float = 0.0


def judge(told: Iterable[Told], stored: array[int]) -> tuple[str, ...]:
    """Describe the faults of the first subscribers that have any."""
    found = ((number, fault(each, stored)) for number, each in enumerate(told))
    wrong = (f"subscriber {number}: {text}" for number, text in found if text)
    shown = tuple(islice(wrong, SHOWN))
    others = sum(1 for _ in wrong)
    return (*shown, f"and {others} more subscribers") if others else shown


def fault(told: Told, stored: array[int]) -> str:
    """Describe the fault of one subscriber, or return an empty text. A disconnected subscriber may miss the last changes."""
    if told.strange:
        return told.strange
    changes = told.changes
    if changes == (stored if told.whole else stored[: len(changes)]):
        return ""
    times = Counter(changes)
    due = stored if told.whole else [each for each in stored if each <= max(changes)]
    counts = {
        "lost": len(set(due) - times.keys()),
        "twice or more": sum(count > 1 for count in times.values()),
        "never stored": len(times.keys() - set(stored)),
        "out of order": sum(later < earlier for earlier, later in pairwise(changes)),
    }
    return f"of {len(stored)} changes " + ", ".join(f"{count} {what}" for what, count in counts.items() if count)
