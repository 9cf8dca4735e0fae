"""The lookout of a process: while it has listeners for alarms, evaluate the alarms, and send them the log's notifications.

The log belongs to the installation: whichever process changes the state of alarms writes notifications to it, and each process
sends them to its own listeners. The lookout checks when a bell rings, and every few seconds, since alarms also begin and end by
time alone.
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
"""Least seconds between two checks, so that a burst of documents causes only a few."""
_BELLS = frozenset({"entries", "treatments", ALARMS, None})


class Lookout:
    """The lookout. `tell`: sends a notification to all listeners of this process."""

    def __init__(self, alarming: Alarming, bells: Bells, tell: Callable[[Notification], None]) -> None:
        self._alarming, self._bells, self._tell = alarming, bells, tell
        self._position = 0
        """The number of the last notification that was sent; meaningless without listeners."""
        self._bell = asyncio.Event()
        self._standstill = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def joining(self) -> AsyncIterator[Sequence[Alarm]]:
        """Return the alarms that are on. A listener that joins inside the block receives every later notification.

        Raises StorageUnavailable.
        """
        async with self._standstill:
            state = await self._look()
            yield [alarm for alarm in state.on if alarm.told]
            self._begin()

    async def acknowledge(self, level: int, group: str, silence: int) -> None:
        """Silence the alarms of a group up to a level for `silence` ms. Raises StorageUnavailable."""
        await self._alarming.acknowledge(level, group, silence)
        self._bell.set()

    def _begin(self) -> None:
        if self._task is None:
            self._bells.listen(self._ring)
            self._task = asyncio.create_task(rounds.go(self._bell, self._go_round, "alarms", GATHER))

    def end(self) -> None:
        """Stop: there are no more listeners."""
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
        """Evaluate the alarms, send new notifications to the listeners, and return the state."""
        state = await self._alarming.evaluate()
        if self._task is not None and self._position < state.last:
            for notification in await self._alarming.notifications(self._position, state.last):
                self._tell(notification)
        self._position = state.last
        return state
