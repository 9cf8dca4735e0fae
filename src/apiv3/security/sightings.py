"""When something was used: noted in memory, and stored once in a while, so that a request writes nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from apiv3.model.errors import StorageUnavailable
from apiv3.model.timestamps import now

_log = logging.getLogger(__name__)


class Store(Protocol):
    async def saw(self, moments: Mapping[str, int]) -> None:
        """Store when some things were last used: id -> ms since 1970. Raises StorageUnavailable."""


class Sightings:
    """The uses that the database does not know yet."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._unsaved: dict[str, int] = {}

    def note(self, id: str) -> int:
        """Note that something was used just now, and return the moment, in ms since 1970."""
        moment = self._unsaved[id] = now()
        return moment

    async def save(self) -> None:
        """Store what is not stored yet. After a failure it is kept for the next time. Raises StorageUnavailable."""
        moments, self._unsaved = self._unsaved, {}
        if not moments:
            return
        try:
            await self._store.saw(moments)
        except BaseException:
            self._unsaved = moments | self._unsaved
            raise

    async def run(self, interval: float, prune: Callable[[], Awaitable[None]], pruning: float) -> None:
        """Save every `interval` seconds, and delete by `prune` what is over every `pruning` seconds, until cancelled."""
        left = 0.0
        while True:
            await asyncio.sleep(interval)
            left -= interval
            try:
                await self.save()
                if left <= 0:
                    await prune()
                    left = pruning
            except StorageUnavailable:
                pass  # `revisions.follow` logs that
            except Exception:
                _log.exception("cannot store what was used, or delete what is over")
