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
MOST_FAILURES = 20
"""Failures of one address; beyond them nothing that comes from there is verified until they are forgotten."""
LARGEST_TABLE = 50_000
"""Addresses and credentials whose failures are remembered; the oldest ones make way."""
MOST_GOOD = 10_000
"""Credentials that are remembered as good, as digests of 16 bytes; the oldest ones make way."""
MOST_WAITING = 200
"""Requests that wait for their refusal at once."""


class Throttle:
    """Each failure adds `delay` (ms) to the answer of the next one from the same address, or with the same credential.
    With a delay of 0 nobody is slowed down or refused.

    An address with MOST_FAILURES is refused before anything is verified, so that the answer tells nothing about what was
    guessed; it is not counted again for that, so a minute later it may try again. What was good once is not refused: those
    who know do not suffer from those who guess at the same address.
    """

    def __init__(self, delay: int) -> None:
        self._delay = delay / 1000
        self._failures: OrderedDict[bytes | str, tuple[int, float]] = OrderedDict()
        self._good: OrderedDict[bytes, None] = OrderedDict()
        self._waiting = 0

    def check(self, address: str, secret: str | None = None) -> None:
        """Raises TooManyRequests when the address has failed too often for this credential (None: any) to be verified."""
        if not self._delay or not self._failures:
            return
        place = network(address)
        if self._count(place) >= MOST_FAILURES and (secret is None or secrets.digest(secret) not in self._good):
            left = self._failures[place][1] + MEMORY - time.monotonic()
            raise TooManyRequests(retry_after=int(left) + 1)

    async def fail(self, address: str, secret: str) -> None:
        """Count a failure and wait as long as those before it demand. Raises TooManyRequests when too many wait."""
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
        """The credential turned out good: it has no failures any more, and is verified wherever it comes from."""
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
