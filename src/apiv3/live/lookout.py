"""The lookout of a process: as long as somebody there listens for alarms, it evaluates them, and tells what is in the log.

The log is the installation's: whichever process took a step wrote down what has to be told of it, and each tells its own
listeners. It looks when a bell rings, and every few seconds, since alarms begin and end by time alone as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from apiv3.live import rounds
from apiv3.live.bells import Bells
from apiv3.model.alarms import Alarm, Notification, State
from apiv3.operations.alarming import Alarming
from apiv3.storage.contracts import ALARMS

GATHER = 0.1
"""Seconds between two looks at least: a burst of documents is looked at a few times only."""
_BELLS = frozenset({"entries", "treatments", ALARMS, None})


class Lookout:
    """`tell`: brings a notification to everybody in this process who listens."""

    def __init__(self, alarming: Alarming, bells: Bells, tell: Callable[[Notification], None]) -> None:
        self._alarming, self._bells, self._tell = alarming, bells, tell
        self._position = 0
        """The number of the last notification that was told; without meaning while nobody listens."""
        self._bell = asyncio.Event()
        self._standstill = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def joining(self) -> AsyncIterator[Sequence[Alarm]]:
        """What is on; who joins inside the block hears of everything that comes after. Raises StorageUnavailable."""
        async with self._standstill:
            state = await self._look()
            yield [alarm for alarm in state.on if alarm.told]
            self._begin()

    async def acknowledge(self, level: int, group: str, silence: int) -> None:
        """Silence what is on in a group, up to a level, for a time in ms. Raises StorageUnavailable."""
        await self._alarming.acknowledge(level, group, silence)
        self._bell.set()

    def _begin(self) -> None:
        if self._task is None:
            self._bells.listen(self._ring)
            self._task = asyncio.create_task(rounds.go(self._bell, self._go_round, "alarms", GATHER))

    def end(self) -> None:
        """Nobody listens any more."""
        if self._task is not None:
            self._bells.leave(self._ring)
            self._task.cancel()
            self._task = None

    def _ring(self, collection: str | None) -> None:
        if collection in _BELLS:
            self._bell.set()

    async def _go_round(self) -> None:
        async with self._standstill:
            await self._look()

    async def _look(self) -> State:
        """Evaluate, and tell those who listen what is new; returns the state at that moment."""
        state = await self._alarming.evaluate()
        if self._task is not None and self._position < state.last:
            for notification in await self._alarming.notifications(self._position, state.last):
                self._tell(notification)
        self._position = state.last
        return state
