"""The subscription of one follower to some collections: which of them are behind, and the queue of changes.

    behind ──── pages read from the table ────> live: the reader gives new changes
       ^                                          │
       └── too many changes were queued while another collection was behind

Every collection is behind at first: its changes are read from the table, no faster than the follower takes them. When none are
left, it goes live (see `readers`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from apiv3.live.readers import Reader
from apiv3.model.changes import Change, Cursor
from apiv3.model.errors import StorageUnavailable

MOST_WAITING = 1000
"""Changes queued for a follower above which no more are queued; a page or a batch may exceed it."""
LARGEST_WAITING = 2_000_000
"""Characters of queued documents above which no more are queued. Followers share the documents in memory."""
RETRY = 1.0
"""Seconds until the next attempt to read while the database is unavailable."""


class Overrun(Exception):
    """The follower took its changes too slowly, so its subscription was ended. It may subscribe again with its cursors."""


class Subscription:
    """An asynchronous iterator of changes; or call `wait` and `take` for several at once. It ends when it is closed.

    Raises Overrun. `cursors`: collection -> the cursor after the changes that were taken. Only one task may use it at a time.
    """

    def __init__(self, readers: Mapping[str, Reader], cursors: Mapping[str, Cursor]) -> None:
        self.cursors = dict(cursors)
        self._readers = {name: readers[name] for name in cursors}
        self._behind = set(cursors)
        self._read = {name: cursor.position for name, cursor in cursors.items()}
        self._waiting: deque[Change] = deque()
        self._size = 0
        self._news = asyncio.Event()
        self._overrun = False
        self.closed = False

    # --- called by the follower

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Change:
        if not await self.wait():
            raise StopAsyncIteration
        return self._take()

    async def wait(self) -> bool:
        """Wait for changes. Return False when the subscription has ended. Raises Overrun."""
        while not self._waiting:
            if self._overrun:
                raise Overrun
            if self.closed:
                return False
            self._news.clear()
            if self._behind:
                await self._catch_up(min(self._behind))
            else:
                await self._news.wait()
        return True

    def take(self) -> Iterator[Change]:
        """Yield the queued changes. Each counts as taken when it is yielded."""
        while self._waiting:
            yield self._take()

    def close(self) -> None:
        """End the subscription; queued changes are dropped."""
        self.closed = True
        self._waiting.clear()
        self._news.set()
        for reader in self._readers.values():
            reader.leave(self)

    async def _catch_up(self, collection: str) -> None:
        try:
            await self._readers[collection].catch_up(self)
        except StorageUnavailable:
            try:
                async with asyncio.timeout(RETRY):
                    await self._news.wait()
            except TimeoutError:
                return

    def _take(self) -> Change:
        change = self._waiting.popleft()
        self._size -= change.size
        if change.kind == "reset":
            self.cursors[change.collection] = Cursor(0, change.srv_modified)
        else:
            removals = self.cursors[change.collection].removals
            self.cursors[change.collection] = Cursor(change.srv_modified, removals)
        return change

    # --- called by readers, see `readers.Recipient`

    def give(self, collection: str, changes: Sequence[Change]) -> None:
        """Queue changes, without those that were given before."""
        seen = self._read[collection]
        if changes[0].srv_modified <= seen:
            changes = [change for change in changes if change.srv_modified > seen]
        self._waiting.extend(changes)
        self._size += sum(change.size for change in changes)
        self._read[collection] = max(seen, changes[-1].srv_modified if changes else 0)
        self._news.set()

    def offer(self, collection: str, changes: Sequence[Change]) -> None:
        """Queue changes of a live collection. When too much is queued, the collection falls behind, or, if no other one is
        behind, the subscription ends with Overrun.
        """
        if len(self._waiting) < MOST_WAITING and self._size < LARGEST_WAITING:
            self.give(collection, changes)
        elif self._behind:
            self.fall_behind(collection)
        else:
            self._overrun = True
            self.close()

    def reset(self, collection: str, last: int) -> None:
        """Tell the follower to discard its documents and begin again; it needs no removals up to `last`."""
        self._waiting.append(Change(collection, "reset", "", None, last))
        self._read[collection] = 0
        self._news.set()

    def position(self, collection: str) -> int:
        """Return the `srvModified` up to which every change was given."""
        return self._read[collection]

    def go_live(self, collection: str, position: int) -> None:
        """Mark the collection as live: every change up to `position` was given, and the reader gives the later ones."""
        self._behind.discard(collection)
        self._read[collection] = max(position, self._read[collection])

    def fall_behind(self, collection: str) -> None:
        """Mark the collection as behind: the reader gives no more changes, and the follower must catch up."""
        self._behind.add(collection)
        self._readers[collection].leave(self)
        self._news.set()
