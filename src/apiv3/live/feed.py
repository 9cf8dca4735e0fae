"""The feed of all changes. A follower receives every change after its cursor, in order, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from apiv3.live.bells import Bells
from apiv3.live.readers import Reader
from apiv3.live.subscriptions import Overrun, Subscription
from apiv3.model.changes import Change, Cursor
from apiv3.model.timestamps import EPOCH_2000
from apiv3.storage.contracts import DocumentStore, LargeDocument

__all__ = ["Feed", "Overrun", "Subscription"]

MOST_CATCHING_UP = 2
"""Most followers that catch up from the database at a time; a pool has several times as many connections."""


class Feed:
    """`async with feed.subscribe({"entries": cursor}) as subscription: async for change in subscription: ...`

    Within a collection, changes come in the order of their commits. Of several changes of one document, only the last may come.
    """

    def __init__(self, store: DocumentStore, bells: Bells, collections: Iterable[str]) -> None:
        self._store = store
        turns = asyncio.Semaphore(MOST_CATCHING_UP)
        self._readers = {name: Reader(store, bells, name, turns) for name in collections}
        self._subscriptions: set[Subscription] = set()
        self._closed = False

    @asynccontextmanager
    async def subscribe(self, cursors: Mapping[str, Cursor | int | None]) -> AsyncIterator[Subscription]:
        """Subscribe to collections. `cursors`: collection -> the cursor or the `srvModified` (ms) to begin after; None: now.

        Raises StorageUnavailable.
        """
        subscription = Subscription(self._readers, await self.cursors(cursors))
        self._subscriptions.add(subscription)
        if self._closed:
            subscription.close()
        try:
            yield subscription
        finally:
            subscription.close()
            self._subscriptions.discard(subscription)

    async def cursors(self, given: Mapping[str, Cursor | int | None]) -> Mapping[str, Cursor]:
        """Return the cursors that `subscribe` would begin with, and later accepts. Raises StorageUnavailable."""
        return {name: await self._cursor(name, cursor) for name, cursor in given.items()}

    async def _cursor(self, collection: str, given: Cursor | int | None) -> Cursor:
        if given is None:
            return Cursor((await self._store.clock(collection)).last)
        cursor = given if isinstance(given, Cursor) else Cursor(given)
        if cursor.position > EPOCH_2000 or cursor.removals:
            return cursor
        return Cursor(0, (await self._store.clock(collection)).last)  # it has no documents, so it needs no removals

    async def large(self, change: Change, caller: str) -> LargeDocument | None:
        """Return the large document of a change; None when it has changed again, which a later change tells.

        `caller`: the follower's name. Its memory is reserved, until the caller releases it; so a follower that does not read
        delays others of the same name only. Raises ServerBusy, StorageUnavailable.
        """
        found = await self._store.get_large(change.collection, change.identifier, caller)
        if found is not None and found.srv_modified != change.srv_modified:
            found.hold.release()
            return None
        return found

    def close(self) -> None:
        """End all subscriptions, and refuse new ones."""
        self._closed = True
        for subscription in tuple(self._subscriptions):
            subscription.close()
