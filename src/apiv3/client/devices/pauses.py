"""How long a device waits before it connects again."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Literal

Ending = Literal["lost", "rejected", "replaced"]
"""Why there is no connection: none could be made or it broke; the hub does not know the key; another machine has the key."""

BOUNDS: Mapping[Ending, tuple[float, float]] = {"lost": (1, 60), "replaced": (60, 3600), "rejected": (300, 3600)}
"""Seconds of the first pause, and of the longest one."""


class Pauses:
    """The pauses after connections of one device. They double until a connection lasts longer than the pause before it."""

    def __init__(self) -> None:
        self._next = {ending: first for ending, (first, _) in BOUNDS.items()}

    def after(self, ending: Ending, lasted: float) -> float:
        """Return the seconds to wait after a connection that ended so and lasted so many seconds.

        A part is left to chance, so that the devices of a hub that starts again do not all come back in one moment. Where two
        machines have one key, and where the key is not known, the whole pause is kept.
        """
        first, longest = BOUNDS[ending]
        pause = first if lasted > self._next[ending] else self._next[ending]
        self._next[ending] = min(2 * pause, longest)
        chance = random.SystemRandom().random()
        return pause * chance if ending == "lost" else pause * (1 + chance / 4)
