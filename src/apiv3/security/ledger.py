"""Budgets: count the connections, requests and bytes that each caller holds, and make callers over their budget wait.

An owner is whoever the use is counted for: a network (`addresses.network`: an IPv4 address or an IPv6 /64), a subject, or one
connection. A request over the budget waits, first come, first served. It is refused only when too many wait already, or when
its turn does not come in time.
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


class Budget:
    """The budget of one resource: how much of it each owner holds, and how much all owners hold together.

    `each`: the most that one owner may hold. An owner that holds nothing may take even more than that, so that no single
    request is impossible; it still has to fit `total`.
    `total`: the most that all owners may hold together, None for no such limit. While nobody holds anything, any amount fits,
    so that one above `total` is served alone.
    `waiting`: the most calls that may wait for one owner. `patience`: seconds that a call waits before it is refused.
    """

    def __init__(self, each: int, *, total: int | None = None, waiting: int = 0, patience: float = 30) -> None:
        self.each, self.total, self.waiting, self.patience = each, total, waiting, patience
        self.used = 0
        """The amount that all owners hold together."""
        self._held: dict[Hashable, int] = {}
        self._queues: dict[Hashable, deque[_Waiter]] = {}
        self._crowded = False
        """Whether a call waits for room in `total`. Then all others wait too, so that small amounts do not overtake it."""

    def held(self, owner: Hashable) -> int:
        """Return the amount that the owner holds."""
        return self._held.get(owner, 0)

    def queued(self, owner: Hashable) -> int:
        """How many wait for the owner now."""
        return len(self._queues.get(owner, ()))

    def owners(self) -> list[Hashable]:
        """Return all owners that hold something, those that hold most first."""
        return sorted(self._held, key=self._held.__getitem__, reverse=True)

    def take(self, owner: Hashable, amount: int = 1) -> bool:
        """Take `amount` at once. Return False, and take nothing, when it exceeds a budget or when others are waiting."""
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
        """Take `amount`, waiting for it if necessary, first come, first served.

        Raises TooManyRequests when `waiting` calls wait for this owner already, or after `patience` seconds.
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
        """Give back an amount that was taken, or a part of it, and let waiting calls take it."""
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
        """Grant waiting calls as much as fits, after the amount that `changed` holds has changed.

        The first call that does not fit `total` stops the pass, so that those behind it do not overtake it.
        """
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
        """Stop waiting, and give back what was granted in the same turn of the event loop."""
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
    """The budgets of one server process.

    `connections`: open connections of a network. `requests`: requests under way of a network, and of a subject.
    `live`: live connections (websockets, Engine.IO sessions, event streams) of a network. `bodies`: bytes of the request
    bodies that are being received from a network. `answers`: bytes of the pages of documents that a subject, or a network
    without one, has requested and not received yet.
    """

    connections: Budget
    requests: Budget
    live: Budget
    bodies: Budget
    answers: Budget
