"""What each caller holds of the server: the one ledger in which connections, requests and bytes are counted against budgets.

An owner is whoever pays: an address (`addresses.network`: an IPv6 client pays for its whole /64), a subject, or one connection.
Whoever is over its budget waits its turn; only what waits beyond measure is refused.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass

from apiv3.model.errors import TooManyRequests


@dataclass(eq=False, slots=True)
class _Waiter:
    owner: Hashable
    amount: int
    turn: asyncio.Future[None]


class Account:
    """How much of one thing each owner holds, and how much all owners hold together.

    `each`: the most that one owner may hold; an owner that holds nothing gets even more than that, if it fits `total`.
    `total`: the most that all may hold together; None for no bound of its own. Who holds all there is waits for nobody, so
    that an amount above `total` is served alone. `waiting`: how many may wait for one owner. `patience`: seconds to wait.
    """

    def __init__(self, each: int, *, total: int | None = None, waiting: int = 0, patience: float = 30) -> None:
        self.each, self.total, self.waiting, self.patience = each, total, waiting, patience
        self.used = 0
        """What all owners hold together."""
        self._held: dict[Hashable, int] = {}
        self._queues: dict[Hashable, deque[_Waiter]] = {}
        self._crowded = False
        """Somebody waits for room in `total`, so nobody may pass by."""

    def held(self, owner: Hashable) -> int:
        """What the owner holds now."""
        return self._held.get(owner, 0)

    def owners(self) -> list[Hashable]:
        """Everybody who holds something, the one that holds most first."""
        return sorted(self._held, key=self._held.__getitem__, reverse=True)

    def take(self, owner: Hashable, amount: int = 1) -> bool:
        """Take it at once. False when the budget does not allow it, or when others wait for theirs."""
        if not amount:
            return True
        held = self._held.get(owner, 0)
        if self._queues and (owner in self._queues or self._crowded):
            return False
        if (held and held + amount > self.each) or (self.total is not None and not self._fits_total(amount)):
            return False
        self._held[owner] = held + amount
        self.used += amount
        return True

    async def wait(self, owner: Hashable, amount: int = 1) -> None:
        """Take it when it is the owner's turn: first come, first served. Raises TooManyRequests when too many wait already,
        or when the turn does not come in time.
        """
        if self.take(owner, amount):
            return
        queue = self._queues.setdefault(owner, deque())
        if len(queue) >= self.waiting:
            self._drop_empty(owner)
            raise TooManyRequests
        waiter = _Waiter(owner, amount, asyncio.get_running_loop().create_future())
        queue.append(waiter)
        self._settle(owner)
        try:
            async with asyncio.timeout(self.patience):
                await waiter.turn
        except TimeoutError:
            self._leave(waiter)
            raise TooManyRequests from None
        except asyncio.CancelledError:
            self._leave(waiter)
            raise

    def give(self, owner: Hashable, amount: int = 1) -> None:
        """Give back what was taken, or a part of it; whoever waits for it gets it."""
        if not amount:
            return
        left = self._held[owner] - amount
        if left:
            self._held[owner] = left
        else:
            del self._held[owner]
        self.used -= amount
        if self._queues:
            self._settle(owner)

    def _fits(self, owner: Hashable, amount: int) -> bool:
        held = self._held.get(owner)
        return held is None or held + amount <= self.each

    def _fits_total(self, amount: int) -> bool:
        return self.total is None or not self.used or self.used + amount <= self.total

    def _settle(self, changed: Hashable) -> None:
        """Let in all whose turn it is. The first one that finds no room in `total` holds back all behind it."""
        self._crowded = False
        for owner in [changed] if self.total is None else list(self._queues):
            queue = self._queues.get(owner) or deque()
            while queue and self._fits(owner, queue[0].amount):
                if not self._fits_total(queue[0].amount):
                    self._crowded = True
                    return
                self._admit(queue.popleft())
            self._drop_empty(owner)

    def _admit(self, waiter: _Waiter) -> None:
        if not waiter.turn.done():
            self._held[waiter.owner] = self._held.get(waiter.owner, 0) + waiter.amount
            self.used += waiter.amount
            waiter.turn.set_result(None)

    def _leave(self, waiter: _Waiter) -> None:
        """Wait no more; what was granted in the same moment goes back."""
        if waiter.turn.done() and not waiter.turn.cancelled():
            self.give(waiter.owner, waiter.amount)
            return
        queue = self._queues.get(waiter.owner)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            self._drop_empty(waiter.owner)
        self._settle(waiter.owner)

    def _drop_empty(self, owner: Hashable) -> None:
        if not self._queues.get(owner, True):
            del self._queues[owner]


@dataclass(frozen=True, slots=True)
class Ledger:
    """The budgets of one server process. All numbers but those of bytes are counts.

    `connections`: open connections of an address. `requests`: requests under way of an address or a subject.
    `live`: live connections (websockets, Engine.IO sessions, event streams) of an address. `bodies`: bytes of the request
    bodies under way of an address.
    """

    connections: Account
    requests: Account
    live: Account
    bodies: Account
