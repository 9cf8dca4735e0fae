"""All connections of a server process: let in within the ledger's budget, watched for deadlines, ended together."""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Protocol

from apiv3.model.errors import TooManyRequests
from apiv3.security.addresses import network
from apiv3.security.ledger import Account

CONNECTIONS = "connections"
"""Where a server finds them: in the state that its application's lifespan yields."""
ENDING = "apiv3.ending"
"""In the scope of a request without an answer so far: the server ends, and will cancel it if it takes too long."""
LAST_PATIENCE = 1.0
"""Seconds that a client which does not read keeps a server from ending, and in which an idle one may send a last request."""
_RESERVE = 64
"""File descriptors kept for what is no client's connection: the database, files, the log."""
_SETTLED = 1.0
"""Seconds after which a connection without a request may be closed for another one of its place."""
_FULL = 0.9
"""The part of all possible connections from which on idle ones are closed."""
_TELL_EVERY = 10.0
"""Seconds between two lines of the log about connections that were refused."""

_log = logging.getLogger(__name__)


class Connection(Protocol):
    """One of them. `place`: who pays for it. `idle_since`: when it began to wait for a request; None while one is under way."""

    place: str | None
    idle_since: float | None

    def check(self, now: float, patience: float) -> None:
        """End what takes longer than so many seconds."""

    def close(self) -> None:
        """Say no more; what lies ready is still sent."""


class Connections:
    """`account`: connections of each place. `patience`: seconds that a client may take for whatever it has to do.

    `shares`: whether an address stands for many clients, as a trusted proxy's does; then no budget of one place holds for it.
    `at_end`: called when the server begins to end.
    """

    def __init__(
        self,
        account: Account,
        patience: float,
        shares: Callable[[str], bool] = lambda _address: False,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._account, self.patience, self._shares, self._at_end = account, patience, shares, at_end
        self.open: set[Connection] = set()
        self._paying: dict[str, set[Connection]] = {}
        self._claimed = 0
        """Clients that were let in, or wait for that."""
        self.most = raise_descriptors() - _RESERVE
        """Connections that the process can have."""
        self._refused: Counter[str] = Counter()
        self._told = 0.0
        self.ends = False

    # --- in and out

    async def claim(self, address: str) -> str | None:
        """Wait until a client from `address` may connect; the place that pays for it, None for an address that many share.

        `release` has to follow. Raises TooManyRequests.
        """
        place = network(address)
        if self._claimed >= self.most:
            self._refused[place] += 1
            raise TooManyRequests
        self._claimed += 1
        if self._shares(address):
            return None
        if not self._account.take(place):
            await self._wait(place)
        return place

    async def _wait(self, place: str) -> None:
        self._close_idle(place)
        try:
            await self._account.wait(place)
        except TooManyRequests:
            self._claimed -= 1
            self._refused[place] += 1
            raise

    def release(self, place: str | None) -> None:
        """A client that was let in is gone."""
        self._claimed -= 1
        if place is not None:
            self._account.give(place)

    def add(self, connection: Connection) -> None:
        """A connection is made."""
        self.open.add(connection)
        if connection.place is not None:
            self._paying.setdefault(connection.place, set()).add(connection)

    def remove(self, connection: Connection) -> None:
        """A connection is over."""
        self.open.discard(connection)
        if connection.place is not None:
            paying = self._paying[connection.place]
            paying.remove(connection)
            if not paying:
                del self._paying[connection.place]
        self.release(connection.place)

    def _close_idle(self, place: str) -> bool:
        """Close the connection of this place that has waited longest for a request; its client will connect again."""
        settled = asyncio.get_running_loop().time() - _SETTLED
        longest = min(self._paying.get(place, ()), key=_idle_since, default=None)
        if longest is None or _idle_since(longest) > settled:
            return False
        longest.close()
        return True

    def _make_room(self) -> None:
        """When few more connections can be had, close idle ones of the place that has most of them."""
        while self._claimed > self.most * _FULL:
            greediest = max(self._paying, key=lambda place: len(self._paying[place]), default=None)
            if greediest is None or not self._close_idle(greediest):
                return

    # --- time

    async def watch(self) -> None:
        """End what takes too long, until cancelled. One look at all connections now and then costs less than timers."""
        tick = min(1.0, self.patience / 4)
        while True:
            await asyncio.sleep(LAST_PATIENCE / 4 if self.ends else tick)
            now = asyncio.get_running_loop().time()
            patience = min(LAST_PATIENCE, self.patience) if self.ends else self.patience
            for each in tuple(self.open):
                each.check(now, patience)
            self._make_room()
            self._tell()

    def _tell(self) -> None:
        """Say who was refused, once in a while, not for each connection."""
        now = time.monotonic()
        if self._refused and now - self._told >= _TELL_EVERY:
            self._told = now
            for place, number in self._refused.most_common(5):
                _log.warning(
                    "refused %d connections of %s: it holds %d of at most %d for one address, and %d are open of at most %d",
                    *(number, place, self._account.held(place), self._account.each),
                    *(self._claimed, self.most),
                )
            self._refused.clear()

    def end(self) -> None:
        """The server ends."""
        if not self.ends:
            self.ends = True
            self._at_end()


def _idle_since(connection: Connection) -> float:
    return inf if connection.idle_since is None else connection.idle_since


def raise_descriptors() -> int:
    """Raise the soft limit of open files to the hard one; what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 1_048_576 if hard == resource.RLIM_INFINITY else hard
    if soft == resource.RLIM_INFINITY:
        return most
    if soft < most:
        with suppress(ValueError, OSError):  # what the system does not allow stays as it is
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    return soft
