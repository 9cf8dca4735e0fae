"""Guessing made slow: failures are counted for each address and, separately, for each credential."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict

from apiv3.model.errors import TooManyRequests
from apiv3.security import secrets
from apiv3.security.addresses import network

MEMORY = 60.0
"""Seconds after its last failure in which an address or a credential is forgotten."""
LARGEST_TABLE = 50_000
"""Addresses and credentials whose failures are remembered."""
MOST_WAITING, MOST_WAITING_PER_ADDRESS = 200, 20
"""Requests that wait for their refusal at once."""


class Throttle:
    """Each failure adds `delay` (ms) to the answer of the next one from the same address, or with the same credential.

    Only failures wait; a good credential never does, and clears nobody's count but its own. What waits and what is
    remembered is bounded: beyond that the answer is TooManyRequests.
    """

    def __init__(self, delay: int) -> None:
        self._delay = delay / 1000
        self._failures: OrderedDict[bytes | str, tuple[int, float]] = OrderedDict()
        self._waiting: dict[str, int] = {}

    async def fail(self, address: str, secret: str) -> None:
        """Count a failure and wait as long as those before it demand. Raises TooManyRequests when too many wait."""
        place = network(address)
        names = (place, secrets.digest(secret))
        failures = max(self._count(name) for name in names)
        self._remember(names)
        if failures and self._delay:
            await self._wait(place, min(failures * self._delay, MEMORY))

    def clear(self, secret: str) -> None:
        """The credential turned out good."""
        if self._failures:
            self._failures.pop(secrets.digest(secret), None)

    def _count(self, name: bytes | str) -> int:
        count, last = self._failures.get(name, (0, 0.0))
        return count if time.monotonic() - last < MEMORY else 0

    def _remember(self, names: tuple[bytes | str, ...]) -> None:
        now = time.monotonic()
        self._forget(now - MEMORY)
        if len(self._failures) >= LARGEST_TABLE:
            raise TooManyRequests(retry_after=int(MEMORY))
        for name in names:
            self._failures[name] = (self._count(name) + 1, now)
            self._failures.move_to_end(name)

    def _forget(self, before: float) -> None:
        while self._failures and next(iter(self._failures.values()))[1] < before:
            self._failures.popitem(last=False)

    async def _wait(self, place: str, seconds: float) -> None:
        here = self._waiting.get(place, 0)
        if here >= MOST_WAITING_PER_ADDRESS or sum(self._waiting.values()) >= MOST_WAITING:
            raise TooManyRequests(retry_after=int(seconds) + 1)
        self._waiting[place] = here + 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self._waiting[place] -= 1
            if not self._waiting[place]:
                del self._waiting[place]
