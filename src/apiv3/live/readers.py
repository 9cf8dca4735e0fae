"""The reader of a collection in a process: it reads each change once, for all its followers.

It runs only while there are followers, and reads the table when the bell rings, and every few seconds without a bell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Protocol

from apiv3.live import rounds
from apiv3.live.bells import Bells
from apiv3.model.changes import Change, Clock, Cursor
from apiv3.storage.contracts import DocumentStore

PAGE = 200
"""Most changes that are read at a time."""
FIRST, MOST = 8, 32
"""Changes that the first query reads, and the most that a query reads. The first ones are few, so that not too many documents
are in memory before their size is known."""
LARGEST_PAGE = 131_072
"""Characters of documents after which a page for a follower that catches up ends; the last document may exceed it."""
GATHER = 0.01
"""Seconds that the reader waits after it has delivered changes, so that a burst is read in few batches."""


class Recipient(Protocol):
    """A follower, as the reader sees it."""

    @property
    def closed(self) -> bool:
        """Whether the follower has ended its subscription."""

    @property
    def cursors(self) -> Mapping[str, Cursor]:
        """Collection -> the cursor of the changes that the follower has taken."""

    def position(self, collection: str) -> int:
        """Return the `srvModified` up to which the follower was given every change."""

    def give(self, collection: str, changes: Sequence[Change]) -> None:
        """Queue changes for the follower, without those that it was given before."""

    def offer(self, collection: str, changes: Sequence[Change]) -> None:
        """Queue changes for a live follower, unless too many are queued already."""

    def reset(self, collection: str, last: int) -> None:
        """Tell the follower to discard its documents and begin again; it needs no removals up to `last`."""

    def go_live(self, collection: str, position: int) -> None:
        """Mark the follower as live: it has every change up to `position`, and the reader gives it all later ones."""

    def fall_behind(self, collection: str) -> None:
        """Mark the follower as behind: the reader gives it no more changes, and it must catch up."""


class Reader:
    """The reader. `turns`: keeps followers that catch up from taking all connections to the database."""

    def __init__(self, store: DocumentStore, bells: Bells, collection: str, turns: asyncio.Semaphore) -> None:
        self._store, self._bells, self._collection, self._turns = store, bells, collection, turns
        self._position: int | None = None
        """The `srvModified` up to which every change was delivered; None while there are no followers."""
        self._followers: set[Recipient] = set()
        self._bell = asyncio.Event()
        self._standstill = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    # --- followers that are behind

    async def catch_up(self, follower: Recipient) -> None:
        """Give a follower the next page; after the last page it goes live. Raises StorageUnavailable."""
        async with self._turns:
            await asyncio.sleep(0)  # SQLite may answer without a pause: other tasks have their turn between two pages
            if await self._give_page(follower):
                return
            async with self._standstill:
                await self._give_page(follower)

    async def _give_page(self, follower: Recipient) -> bool:
        """Give a follower the next page. Return False if it was the last one, but the reader delivered changes meanwhile."""
        before = self._position
        page, complete, clock = await self._read(follower.position(self._collection))
        changes = page[: _not_too_large(page)]
        if follower.closed:
            return True
        if follower.cursors[self._collection].is_lost(clock):
            follower.reset(self._collection, clock.last)
            return True
        if changes:
            follower.give(self._collection, changes)
        if not complete or len(changes) < len(page):
            return True
        if self._position != before:
            return False
        self._join(follower)
        return True

    def _join(self, follower: Recipient) -> None:
        """Make a follower live, which has every change that the reader has delivered so far."""
        follower.go_live(self._collection, self._position or 0)
        self._followers.add(follower)
        if self._position is None:
            self._position = follower.position(self._collection)
            self._bell.set()
            self._bells.listen(self._ring)
            self._task = asyncio.create_task(rounds.go(self._bell, self._go_round, f"changes of {self._collection}"))

    def leave(self, follower: Recipient) -> None:
        """Stop giving changes to a follower, whether it is live or not."""
        self._followers.discard(follower)
        if not self._followers and self._task is not None:
            self._bells.leave(self._ring)
            self._task.cancel()
            self._task = self._position = None

    # --- followers that are live

    def _ring(self, collection: str | None) -> None:
        if collection is None or collection == self._collection:
            self._bell.set()

    async def _go_round(self) -> None:
        while await self._look():  # noqa: ASYNC110 (it does not wait, it works)
            await asyncio.sleep(GATHER)

    async def _look(self) -> bool:
        """Deliver new changes, and return whether there were any."""
        async with self._standstill:
            position = self._position or 0
            changes, _, clock = await self._read(position)
            followers = tuple(self._followers)
            if Cursor(position).is_lost(clock):
                for follower in followers:  # each then checks with its own cursor, which may not be lost
                    follower.fall_behind(self._collection)
                return False
            if changes:
                self._position = changes[-1].srv_modified
                for follower in followers:
                    follower.offer(self._collection, changes)
            return bool(changes)

    async def _read(self, position: int) -> tuple[Sequence[Change], bool, Clock]:
        """Return the next changes, whether these are all, and the clock.

        The clock is read last, so that it shows if tombstones were deleted meanwhile.
        """
        changes, number, complete = list[Change](), FIRST, False
        while not complete and len(changes) < PAGE and sum(change.size for change in changes) < LARGEST_PAGE:
            wanted = min(number, PAGE - len(changes))
            some = await self._store.changes(self._collection, position, wanted)
            changes += some
            complete = len(some) < wanted
            position, number = changes[-1].srv_modified if changes else position, min(MOST, 2 * number)
        return changes, complete, await self._store.clock(self._collection)


def _not_too_large(page: Sequence[Change]) -> int:
    """Return how many changes of a page one follower may hold at once: fewer when documents are large, but at least one."""
    sizes = accumulate(change.size for change in page)
    return next((number for number, size in enumerate(sizes, 1) if size >= LARGEST_PAGE), len(page))
