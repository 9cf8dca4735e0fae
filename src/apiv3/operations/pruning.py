"""Remove old documents in the background, for collections with a number of days to keep; old tombstones, entries and events."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from apiv3.model.errors import StorageUnavailable
from apiv3.storage.contracts import DocumentStore
from apiv3.storage.contracts.accounts import AuditStore
from apiv3.storage.contracts.logins import LoginStore

INTERVAL = 600.0
"""Seconds between two rounds."""
BATCH = 100
"""Most rows removed in one transaction, so that writers need not wait long."""
DAY = 86_400_000
OUTBOX_DAYS = 7
"""For how long a service that hears of logins may be away without beginning again."""

_log = logging.getLogger(__name__)


class Pruning:
    """Prunes collections. Several processes may do so at the same time.

    `days`: collection -> the number of days for which its documents are kept. `tombstone_days`: the same for the tombstones of
    all `collections`. `audit_days`: the same for the entries of the audit trail. The events of `logins` stay for OUTBOX_DAYS.
    """

    def __init__(
        self,
        store: DocumentStore,
        days: Mapping[str, int],
        collections: Sequence[str],
        tombstone_days: int,
        audit: AuditStore,
        audit_days: int,
        logins: LoginStore,
    ) -> None:
        self._store, self._days = store, days
        self._collections, self._tombstone_days = collections, tombstone_days
        self._audit, self._audit_days, self._logins = audit, audit_days, logins

    async def run(self) -> None:
        """Prune every INTERVAL seconds until cancelled."""
        while True:
            try:
                await self.round()
            except StorageUnavailable:
                _log.warning("cannot prune: the database is unavailable")
            except Exception:
                _log.exception("cannot prune")
            await asyncio.sleep(INTERVAL)

    async def round(self) -> None:
        """Remove everything that is too old. Raises StorageUnavailable."""
        for collection, days in self._days.items():
            total = await _all(partial(self._store.prune, collection), days)
            if total:
                _log.info("pruned %d documents of %s", total, collection)
        for collection in self._collections:
            await _all(partial(self._store.forget, collection), self._tombstone_days)
        await _all(self._audit.prune, self._audit_days)
        await _all(self._logins.prune, OUTBOX_DAYS)


async def _all(remove: Callable[[int, int], Awaitable[int]], days: int) -> int:
    """Remove everything older than `days`, in batches; return the number of rows."""
    before = time.time_ns() // 1_000_000 - days * DAY
    total = removed = await remove(before, BATCH)
    while removed == BATCH:
        await asyncio.sleep(0)
        removed = await remove(before, BATCH)
        total += removed
    return total
