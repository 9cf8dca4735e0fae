"""All connections of a server process: admit them within the ledger's budget, enforce deadlines, end them on shutdown."""

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
from apiv3.security.ledger import Budget

CONNECTIONS = "connections"
"""Key of the `Connections` object in the state that the application's lifespan yields."""
ENDING = "apiv3.ending"
"""Key in the ASGI scope of an unanswered request: the server is shutting down, and cancels the request if it takes too long."""
LAST_PATIENCE = 1.0
"""Seconds, during shutdown, that the server waits for a client that does not read, and for a last request of an idle one."""
_RESERVE = 64
"""File descriptors reserved for everything that is not a client's connection: database, files, log."""
_SETTLED = 1.0
"""Seconds that a connection must have been idle before it may be closed in favour of a new one from the same network."""
_NEW = 10.0
"""Seconds for which a connection counts as new: a client that opens a thousand at once may take that long to use the last."""
_FULL = 0.9
"""Fraction of the possible connections above which idle ones are closed."""
_TELL_EVERY = 10.0
"""Seconds between two log lines about refused connections."""

_log = logging.getLogger(__name__)


class Connection(Protocol):
    """What `Connections` needs of a connection.

    `place`: the network whose budget it counts against; None when it counts against none. `idle_since`: when it began to wait
    for a request, in seconds by the loop's clock; None while a request is under way. `is_new`: whether it waits for its first.
    """

    place: str | None
    idle_since: float | None
    is_new: bool

    def check(self, now: float, patience: float) -> None:
        """End the connection if its client has kept the server waiting for more than `patience` seconds."""

    def close(self) -> None:
        """Close the connection once everything written has been sent."""


class Connections:
    """The open connections of this process.

    `account`: the budget of connections of each network. `patience`: seconds that a client may take for each step, such as
    sending a request or reading an answer. `shares`: tells whether an address stands for many clients, as that of a trusted
    proxy does; its connections count against no network's budget. `at_end`: called once when the server begins to shut down.
    """

    def __init__(
        self,
        account: Budget,
        patience: float,
        shares: Callable[[str], bool] = lambda _address: False,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._account, self.patience, self._shares, self._at_end = account, patience, shares, at_end
        self.open: set[Connection] = set()
        self._paying: dict[str, set[Connection]] = {}
        self._claimed = 0
        """Clients that are connected, or accepted and waiting for their network's budget."""
        self.most = raise_descriptors() - _RESERVE
        """The most connections that the process can have, by its limit of open files."""
        account.each = min(account.each, max(1, self.most // 2))
        self._refused: Counter[str] = Counter()
        self._told = 0.0
        self.ends = False

    # --- admission

    async def claim(self, address: str) -> str | None:
        """Wait until a client from `address` may connect, and count it.

        Return the network whose budget it counts against, None for an address that many clients share. The caller must call
        `release` with it once the client is gone. Raises TooManyRequests when the process has no connection left, when too
        many clients of the network wait already, or when the wait takes too long.
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

    def waiting(self, place: str | None) -> int:
        """Return how many clients wait for the budget of a network; none for an address that many clients share."""
        return 0 if place is None else self._account.queued(place)

    async def _wait(self, place: str) -> None:
        """Those that wait have a descriptor each, too: a place leaves twice as many to others as it has waiting."""
        self._close_idle(place, _spare_since)
        try:
            if self.waiting(place) > (self.most - self._claimed) // 2:
                raise TooManyRequests
            await self._account.wait(place)
        except TooManyRequests:
            self._claimed -= 1
            self._refused[place] += 1
            raise

    def release(self, place: str | None) -> None:
        """Stop counting a client that `claim` has counted."""
        self._claimed -= 1
        if place is not None:
            self._account.give(place)

    def add(self, connection: Connection) -> None:
        """Register a connection that has been established."""
        self.open.add(connection)
        if connection.place is not None:
            self._paying.setdefault(connection.place, set()).add(connection)

    def remove(self, connection: Connection) -> None:
        """Forget a connection that has been closed, and release its claim."""
        self.open.discard(connection)
        if connection.place is not None:
            paying = self._paying[connection.place]
            paying.remove(connection)
            if not paying:
                del self._paying[connection.place]
        self.release(connection.place)

    def _close_idle(self, place: str, since: Callable[[Connection], float]) -> bool:
        """Close the connection from `place` that has been idle longest; its client can connect again when it needs to.

        `since`: returns when a connection began to be idle. Return False when none has been idle for `_SETTLED` seconds.
        """
        settled = asyncio.get_running_loop().time() - _SETTLED
        longest = min(self._paying.get(place, ()), key=since, default=None)
        if longest is None or since(longest) > settled:
            return False
        longest.close()
        return True

    def _make_room(self) -> None:
        """When most of the possible connections are in use, close idle ones of the network that has the most connections."""
        for _ in range(int(self._claimed - self.most * _FULL)):
            greediest = max(self._paying, key=lambda place: len(self._paying[place]), default=None)
            if greediest is None or not self._close_idle(greediest, _idle_since):
                return

    def _make_way(self) -> None:
        """Close idle connections of each network that has clients waiting, one for each of them."""
        for place in tuple(self._paying):
            for _ in range(self.waiting(place)):
                if not self._close_idle(place, _spare_since):
                    break

    # --- deadlines

    async def watch(self) -> None:
        """Enforce the deadlines of all connections until cancelled.

        One pass over all connections each second, or more often, costs less than a timer for each.
        """
        tick = min(1.0, self.patience / 4)
        while True:
            await asyncio.sleep(LAST_PATIENCE / 4 if self.ends else tick)
            now = asyncio.get_running_loop().time()
            patience = min(LAST_PATIENCE, self.patience) if self.ends else self.patience
            for each in tuple(self.open):
                each.check(now, patience)
            self._make_room()
            self._make_way()
            self._tell()

    def _tell(self) -> None:
        """Log which networks had connections refused, at most once in `_TELL_EVERY` seconds."""
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
        """Begin the shutdown; further calls do nothing."""
        if not self.ends:
            self.ends = True
            self._at_end()


def _idle_since(connection: Connection) -> float:
    return inf if connection.idle_since is None else connection.idle_since


def _spare_since(connection: Connection) -> float:
    """Return the same, but for a new connection the time at which it is new no longer."""
    return _idle_since(connection) + _NEW * connection.is_new


def raise_descriptors() -> int:
    """Raise the soft limit of open files to the hard limit, where the system allows it, and return the resulting limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 1_048_576 if hard == resource.RLIM_INFINITY else hard
    if soft == resource.RLIM_INFINITY:
        return most
    if soft < most:
        with suppress(ValueError, OSError):  # not allowed: keep the old limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    return soft
