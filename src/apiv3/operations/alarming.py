"""Evaluate the alarms of the installation by its documents, once for all processes."""

from __future__ import annotations

from collections.abc import Sequence

from apiv3.model import alarms, timestamps
from apiv3.model.alarms import ANNOUNCED, Alarm, Notification, Reading, State, Thresholds
from apiv3.model.documents import Document
from apiv3.model.queries import Filter, Query, Sort
from apiv3.retrying import retried
from apiv3.storage.contracts import AlarmStore, AlarmWriter, DocumentStore, Window

LOOK_BACK = 200
"""Most entries that are read when the last one has no usable glucose value, or was written with a clock that is fast."""
MOST_ANNOUNCEMENTS = 100
"""Most announcements that can be on at the same time; the latest are used."""
_FEW = Window(most=4_000_000, whole=False)
"""Most bytes of documents that are read, so that huge documents cannot make alarms expensive."""
_SGV = Filter(("type",), "eq", "sgv")
_ANNOUNCEMENT = Filter(("eventType",), "eq", alarms.ANNOUNCEMENT)
_LATEST = Sort(("date",), descending=True)


class Alarming:
    """Evaluates and acknowledges alarms. Any process may do so at any time.

    Each step from one state to the next is made once, in a transaction that locks the state. The documents are read inside that
    transaction, so that no step uses older documents than the step before.
    """

    def __init__(self, documents: DocumentStore, store: AlarmStore, thresholds: Thresholds) -> None:
        self._documents, self._store, self._thresholds = documents, store, thresholds

    @retried
    async def evaluate(self) -> State:
        """Make the step that is due, if any, and return the state. Raises StorageUnavailable."""
        state, now = await self._store.load(), timestamps.now()
        following, _ = alarms.advance(state, await self._current(now), now)
        if following == state:  # the usual case, which needs no lock
            return state
        async with self._store.changing() as writer:
            return await self._advance(writer, writer.state)

    @retried
    async def acknowledge(self, level: int, group: str, silence: int) -> None:
        """Silence the alarms of a group up to a level for `silence` ms. Raises StorageUnavailable."""
        async with self._store.changing() as writer:
            await self._advance(writer, alarms.acknowledge(writer.state, level, group, silence, timestamps.now()))

    async def notifications(self, after: int, last: int) -> Sequence[Notification]:
        """Return the notifications numbered `after` < number <= `last`. Raises StorageUnavailable."""
        return await self._store.notifications(after, last)

    async def _advance(self, writer: AlarmWriter, state: State) -> State:
        now = timestamps.now()
        following, notifications = alarms.advance(state, await self._current(now), now)
        return writer.state if following == writer.state else await writer.put(following, notifications, now)

    async def _current(self, now: int) -> tuple[Alarm, ...]:
        return alarms.current(self._thresholds, await self._newest(now), await self._announcements(now), now)

    async def _newest(self, now: int) -> Reading | None:
        """Return the newest reading. Entries dated in the future are read separately, so that they cannot hide the others."""
        until_now = Filter(("date",), "lte", now)
        ahead = await self._entries(Filter(("date",), "gt", now), Sort(("date",)), LOOK_BACK)
        last = await self._entries(until_now, _LATEST, 1)
        if last and not alarms.is_plain(last[0]):
            last = await self._entries(until_now, _LATEST, LOOK_BACK)
        return alarms.newest(ahead + last)

    async def _entries(self, when: Filter, sort: Sort, limit: int) -> list[Document]:
        return await self._search("entries", Query((_SGV, when), sort, limit))

    async def _announcements(self, now: int) -> list[Document]:
        recent = Filter(("date",), "gte", now - ANNOUNCED), Filter(("date",), "lte", now + ANNOUNCED)
        return await self._search("treatments", Query((_ANNOUNCEMENT, *recent), _LATEST, MOST_ANNOUNCEMENTS))

    async def _search(self, collection: str, query: Query) -> list[Document]:
        page = await self._documents.search(collection, query, window=_FEW)
        try:
            return page.documents
        finally:
            page.release()
