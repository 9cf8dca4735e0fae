"""One follower of some collections: what it has still to catch up on, and what is waiting for it.

    behind ──── pages out of the table ────> live: the reader hands over what is new
       ^                                       │
       └── too much came while it was catching up on another collection

Every collection is behind at first: its changes are read from the table no faster than they are taken. When there are no
more, it goes live (see `readers`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from apiv3.live.readers import Reader
from apiv3.model.changes import Change, Cursor
from apiv3.model.errors import StorageUnavailable

MOST_WAITING = 1000
"""Changes that may wait for a follower; a page or a batch more, at the worst."""
LARGEST_WAITING = 8_000_000
"""Characters of the documents that may wait, likewise. Followers share them."""
RETRY = 1.0
"""Seconds until the next attempt to read from a database that is away."""


class Overrun(Exception):
    """The follower did not take what it was given, and was let go. It may come back with its cursors."""


class Subscription:
    """Iterate over it for the changes, or `wait` and `take` several at once; it ends when it is closed. Raises Overrun.

    `cursors`: collection -> how far the follower is with what it has taken. One task may use it at a time.
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

    # --- for the follower

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Change:
        if not await self.wait():
            raise StopAsyncIteration
        return self._take()

    async def wait(self) -> bool:
        """Wait until there is something to take; False: there never will be."""
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
        """Everything that is waiting by now, each change taken when it is given out."""
        while self._waiting:
            yield self._take()

    def close(self) -> None:
        """End it; what is waiting is dropped."""
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

    # --- for the readers

    def give(self, collection: str, changes: Sequence[Change]) -> None:
        """Let these wait for the follower; those that it was given before are left out."""
        seen = self._read[collection]
        if changes[0].srv_modified <= seen:
            changes = [change for change in changes if change.srv_modified > seen]
        self._waiting.extend(changes)
        self._size += sum(change.size for change in changes)
        self._read[collection] = max(seen, changes[-1].srv_modified if changes else 0)
        self._news.set()

    def offer(self, collection: str, changes: Sequence[Change]) -> None:
        """The same for one that is live. When too much is waiting, it has to catch up later, or is let go."""
        if len(self._waiting) < MOST_WAITING and self._size < LARGEST_WAITING:
            self.give(collection, changes)
        elif self._behind:
            self.fall_behind(collection)
        else:
            self._overrun = True
            self.close()

    def reset(self, collection: str, last: int) -> None:
        """Tell the follower to forget what it has, and begin anew; it need not hear of removals up to `last`."""
        self._waiting.append(Change(collection, "reset", "", None, last))
        self._read[collection] = 0
        self._news.set()

    def position(self, collection: str) -> int:
        """Up to where the follower was given everything."""
        return self._read[collection]

    def go_live(self, collection: str, position: int) -> None:
        """It was given everything up to `position`, and the reader will give it the rest."""
        self._behind.discard(collection)
        self._read[collection] = max(position, self._read[collection])

    def fall_behind(self, collection: str) -> None:
        """The reader will not give it any more; it has to catch up."""
        self._behind.add(collection)
        self._readers[collection].leave(self)
        self._news.set()
