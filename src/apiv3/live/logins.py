"""The Login channel: tells other services who is signed in, and what has changed since.

The outbox is the log, as the table of documents is for the feed of changes. Every follower reads it for itself, from its own
position: there are few of them, and one that does not read occupies nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from apiv3.live.bells import Bells
from apiv3.model.errors import StorageUnavailable
from apiv3.model.logins import Event, Position, Snapshot
from apiv3.storage.contracts.logins import LOGINS, LoginStore

PAGE = 100
"""Most events that are read at a time."""
LOOK = 3.0
"""Seconds after which the outbox is read without a bell."""
HEARTBEAT = 15.0
"""Seconds without an event after which a follower is told that there was none."""


class Follower:
    """One follower. `position`: after the last event that it has; None: it has nothing, and begins with a snapshot."""

    def __init__(self, store: LoginStore, position: Position | None) -> None:
        self._store, self.position = store, position
        self._bell = asyncio.Event()
        self._told = time.monotonic()
        self.closed = False

    def ring(self, collection: str | None) -> None:
        """Read the outbox soon: it may have changed."""
        if collection is None or collection == LOGINS:
            self._bell.set()

    def close(self) -> None:
        """End the iteration."""
        self.closed = True
        self._bell.set()

    async def __aiter__(self) -> AsyncGenerator[Snapshot | Sequence[Event]]:
        """Yield a snapshot where there could be a gap, and events in the order of commits.

        No events: there was none up to now. Nothing comes while the database is unavailable, since nobody can know that then.
        """
        while not self.closed:
            self._bell.clear()
            found = await self._next()
            if found is not None:
                self._told = time.monotonic()
                yield found
            if not found:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):
                        await self._bell.wait()

    async def _next(self) -> Snapshot | Sequence[Event] | None:
        """Return what is to be told now, None if there is nothing."""
        try:
            found = await self._read()
        except StorageUnavailable:
            return None
        return found if found or time.monotonic() - self._told > HEARTBEAT - LOOK else None

    async def _read(self) -> Snapshot | Sequence[Event]:
        events = None if self.position is None else await self._store.after(self.position, PAGE)
        if events is None:
            snapshot = await self._store.snapshot()
            self.position = snapshot.position
            return snapshot
        if events:
            self.position = events[-1].position
        return events


class LoginChannel:
    """The followers of this process."""

    def __init__(self, store: LoginStore, bells: Bells) -> None:
        self._store, self._bells = store, bells
        self._followers: set[Follower] = set()
        self._closed = False

    @asynccontextmanager
    async def follow(self, position: Position | None) -> AsyncIterator[Follower]:
        """Follow from a position, None: from a snapshot."""
        follower = Follower(self._store, position)
        self._followers.add(follower)
        self._bells.listen(follower.ring)
        if self._closed:
            follower.close()
        try:
            yield follower
        finally:
            self._bells.leave(follower.ring)
            self._followers.discard(follower)

    def close(self) -> None:
        """End all followers, and refuse new ones."""
        self._closed = True
        for follower in tuple(self._followers):
            follower.close()
