"""Old documents are removed in the background, where the installation says how many days to keep."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

from apiv3.model.errors import StorageUnavailable
from apiv3.storage.contracts import DocumentStore

INTERVAL = 600.0
"""Seconds between two rounds."""
BATCH = 100
"""Documents removed in one transaction, so that writers need not wait long."""
DAY = 86_400_000

_log = logging.getLogger(__name__)


class Pruning:
    """`days`: collection -> how many days its documents are kept. Any number of processes may do this at once."""

    def __init__(self, store: DocumentStore, days: Mapping[str, int]) -> None:
        self._store, self._days = store, days

    async def run(self) -> None:
        """A round now and then, until cancelled."""
        while self._days:
            try:
                await self.round()
            except StorageUnavailable:
                _log.warning("cannot prune: the database is unavailable")
            except Exception:
                _log.exception("cannot prune")
            await asyncio.sleep(INTERVAL)

    async def round(self) -> None:
        """Remove everything that is too old by now. Raises StorageUnavailable."""
        for collection, days in self._days.items():
            before = time.time_ns() // 1_000_000 - days * DAY
            removed = total = await self._store.prune(collection, before, BATCH)
            while removed == BATCH:
                await asyncio.sleep(0)
                removed = await self._store.prune(collection, before, BATCH)
                total += removed
            if total:
                _log.info("pruned %d documents of %s", total, collection)
