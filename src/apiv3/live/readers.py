"""The one reader of a collection in a process: it reads each change once, for all who follow.

It works only while somebody follows: it looks into the table when the bell rings, and now and then without a bell.
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
"""Changes that are read for a follower at a time,"""
FIRST, MOST = 8, 32
"""and with one query: few at first, so that 200 documents of a megabyte are not in memory before anybody knows their size."""
LARGEST_PAGE = 8_000_000
"""Characters of the documents that a follower is given at a time while it catches up; beyond, only with the last one."""
GATHER = 0.01
"""Seconds that the reader lets changes gather after it has handed some over: a burst is read in few batches."""


class Recipient(Protocol):
    """Who is given the changes of a collection. `cursors`: collection -> how far it is with what it has taken."""

    @property
    def closed(self) -> bool: ...

    @property
    def cursors(self) -> Mapping[str, Cursor]: ...

    def position(self, collection: str) -> int:
        """Up to where it was given everything."""

    def give(self, collection: str, changes: Sequence[Change]) -> None:
        """Let these wait for it; those that it was given before are left out."""

    def offer(self, collection: str, changes: Sequence[Change]) -> None:
        """The same for one that is live, which may have too much waiting already."""

    def reset(self, collection: str, last: int) -> None:
        """Tell it to forget what it has, and begin anew; it need not hear of removals up to `last`."""

    def go_live(self, collection: str, position: int) -> None:
        """It was given everything up to `position`, and is given the rest from now on."""

    def fall_behind(self, collection: str) -> None:
        """It is not given any more; it has to catch up."""


class Reader:
    """`turns`: keeps those who catch up from taking all connections to the database."""

    def __init__(self, store: DocumentStore, bells: Bells, collection: str, turns: asyncio.Semaphore) -> None:
        self._store, self._bells, self._collection, self._turns = store, bells, collection, turns
        self._position: int | None = None
        """Up to where everything was handed over; None: nobody follows."""
        self._followers: set[Recipient] = set()
        self._bell = asyncio.Event()
        self._standstill = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    # --- those who are behind

    async def catch_up(self, follower: Recipient) -> None:
        """Give a follower the next page; with the last one it goes live. Raises StorageUnavailable."""
        async with self._turns:
            if await self._give_page(follower):
                return
            async with self._standstill:
                await self._give_page(follower)

    async def _give_page(self, follower: Recipient) -> bool:
        """Whether that is all for now. If not, it was the last page, but the reader went on meanwhile."""
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
        """It has everything that the reader has handed over so far."""
        follower.go_live(self._collection, self._position or 0)
        self._followers.add(follower)
        if self._position is None:
            self._position = follower.position(self._collection)
            self._bell.set()
            self._bells.listen(self._ring)
            self._task = asyncio.create_task(rounds.go(self._bell, self._go_round, f"changes of {self._collection}"))

    def leave(self, follower: Recipient) -> None:
        """Give nothing more to it, whether it is live or not."""
        self._followers.discard(follower)
        if not self._followers and self._task is not None:
            self._bells.leave(self._ring)
            self._task.cancel()
            self._task = self._position = None

    # --- those who are live

    def _ring(self, collection: str | None) -> None:
        if collection is None or collection == self._collection:
            self._bell.set()

    async def _go_round(self) -> None:
        while await self._look():  # noqa: ASYNC110 (it does not wait, it works)
            await asyncio.sleep(GATHER)

    async def _look(self) -> bool:
        """Hand over what is new; whether there was anything."""
        async with self._standstill:
            position = self._position or 0
            changes, _, clock = await self._read(position)
            followers = tuple(self._followers)
            if Cursor(position).is_lost(clock):
                for follower in followers:  # each by its own cursor, which may know better
                    follower.fall_behind(self._collection)
                return False
            if changes:
                self._position = changes[-1].srv_modified
                for follower in followers:
                    follower.offer(self._collection, changes)
            return bool(changes)

    async def _read(self, position: int) -> tuple[Sequence[Change], bool, Clock]:
        """The next changes, whether these are all, and the clock; it is read last, so that nothing is forgotten unnoticed."""
        changes, number, complete = list[Change](), FIRST, False
        while not complete and len(changes) < PAGE and sum(change.size for change in changes) < LARGEST_PAGE:
            wanted = min(number, PAGE - len(changes))
            some = await self._store.changes(self._collection, position, wanted)
            changes += some
            complete = len(some) < wanted
            position, number = changes[-1].srv_modified if changes else position, min(MOST, 2 * number)
        return changes, complete, await self._store.clock(self._collection)


def _not_too_large(page: Sequence[Change]) -> int:
    """How many of the changes one follower may hold at once: large documents come in smaller pages, at least one."""
    sizes = accumulate(change.size for change in page)
    return next((number for number, size in enumerate(sizes, 1) if size >= LARGEST_PAGE), len(page))
