"""Slow down the guessing of credentials: count failures for each network and, separately, for each credential."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict

from apiv3.model.errors import TooManyRequests
from apiv3.security import secrets
from apiv3.security.addresses import network

MEMORY = 60.0
"""Seconds after the last failure of a network or a credential until its failures are forgotten."""
MOST_FAILURES = 20
"""Failures of one network from which on its credentials are refused unverified, until the failures are forgotten."""
LARGEST_TABLE = 50_000
"""Most networks and credentials whose failures are remembered; the oldest are dropped."""
MOST_GOOD = 10_000
"""Most credentials that are remembered as good, as digests of 16 bytes; the oldest are dropped."""
MOST_WAITING = 200
"""Most requests that are delayed at the same time."""


class Throttle:
    """Delays answers to bad credentials, and refuses networks that send too many.

    `delay`: ms by which each failure delays the answer to the next one from the same network or with the same credential; 0
    switches the throttle off.

    Credentials from a network with MOST_FAILURES are refused before they are verified, so that the answer tells nothing about
    the guess. These refusals do not count as failures, so after MEMORY seconds the network may try again. A credential that
    was good before is still verified, so that its owner does not suffer from somebody who guesses from the same network.
    """

    def __init__(self, delay: int) -> None:
        self._delay = delay / 1000
        self._failures: OrderedDict[bytes | str, tuple[int, float]] = OrderedDict()
        self._good: OrderedDict[bytes, None] = OrderedDict()
        self._waiting = 0

    def check(self, address: str, secret: str | None = None) -> None:
        """Raise TooManyRequests when the network of `address` has too many failures.

        A `secret` that is known to be good passes nevertheless.
        """
        if not self._delay or not self._failures:
            return
        place = network(address)
        if self._count(place) >= MOST_FAILURES and (secret is None or secrets.digest(secret) not in self._good):
            left = self._failures[place][1] + MEMORY - time.monotonic()
            raise TooManyRequests(retry_after=int(left) + 1)

    async def fail(self, address: str, secret: str) -> None:
        """Count a failure, and wait `delay` for each earlier one. Raises TooManyRequests when too many requests wait."""
        if not self._delay:
            return
        digest = secrets.digest(secret)
        names = (network(address), digest)
        failures = max(self._count(name) for name in names)
        self._good.pop(digest, None)
        self._remember(names)
        if failures:
            await self._wait(min(failures * self._delay, MEMORY))

    def clear(self, secret: str) -> None:
        """Forget the failures of a credential that proved good, and let `check` pass it from any address."""
        if not self._delay:
            return
        digest = secrets.digest(secret)
        self._failures.pop(digest, None)
        self._good[digest] = None
        self._good.move_to_end(digest)
        if len(self._good) > MOST_GOOD:
            self._good.popitem(last=False)

    def _count(self, name: bytes | str) -> int:
        count, last = self._failures.get(name, (0, 0.0))
        return count if time.monotonic() - last < MEMORY else 0

    def _remember(self, names: tuple[bytes | str, ...]) -> None:
        now = time.monotonic()
        self._forget(now - MEMORY)
        for name in names:
            self._failures[name] = (self._count(name) + 1, now)
            self._failures.move_to_end(name)
        while len(self._failures) > LARGEST_TABLE:
            self._failures.popitem(last=False)

    def _forget(self, before: float) -> None:
        while self._failures and next(iter(self._failures.values()))[1] < before:
            self._failures.popitem(last=False)

    async def _wait(self, seconds: float) -> None:
        if self._waiting >= MOST_WAITING:
            raise TooManyRequests(retry_after=int(seconds) + 1)
        self._waiting += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self._waiting -= 1
