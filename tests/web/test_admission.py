"""Which connections give way to those who wait for one."""

from __future__ import annotations

import asyncio

import pytest

from apiv3.security.ledger import Budget
from apiv3.web.server.connections import Connections

PLACE = "192.0.2.1"


class Idle:
    """A connection that has been idle for so many seconds. `is_new`: whether it has had no request so far."""

    def __init__(self, connections: Connections, seconds: float, *, is_new: bool = False) -> None:
        self.place: str | None = PLACE
        self.is_new, self.is_open = is_new, True
        self.idle_since: float | None = asyncio.get_running_loop().time() - seconds
        self._connections = connections
        connections.add(self)

    def check(self, now: float, patience: float) -> None:
        """It has all the time in the world."""

    def close(self) -> None:
        self.is_open = False
        self._connections.remove(self)


@pytest.fixture
async def full() -> Connections:
    """Two clients of one network have connected, which may have two."""
    connections = Connections(Budget(2, waiting=5), 30)
    for _ in range(2):
        assert await connections.claim(PLACE) == PLACE
    return connections


async def test_who_has_been_idle_longest_gives_way_at_once(full: Connections) -> None:
    shorter, longest = Idle(full, 20), Idle(full, 30)
    await full.claim(PLACE)
    assert (shorter.is_open, longest.is_open) == (True, False)


async def test_who_is_idle_only_now_gives_way_later(full: Connections) -> None:
    idle = Idle(full, 0), Idle(full, 0)
    claim = asyncio.create_task(full.claim(PLACE))
    await asyncio.sleep(0)
    assert [each.is_open for each in idle] == [True, True]
    watch = asyncio.create_task(full.watch())
    await claim
    assert sorted(each.is_open for each in idle) == [False, True]
    watch.cancel()


async def test_who_has_just_connected_may_take_its_time(full: Connections) -> None:
    """A client that opens many connections at once uses the last of them later."""
    new, used = Idle(full, 5, is_new=True), Idle(full, 3)
    await full.claim(PLACE)
    assert (new.is_open, used.is_open) == (True, False)
