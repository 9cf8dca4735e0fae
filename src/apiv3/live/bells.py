"""Bells say that a collection may have changed; what has changed stands in its table.

So a bell may ring in vain, twice, or not at all: whoever hears it looks into the table, and looks now and then anyway.
"""

from __future__ import annotations

import asyncio
import logging

from apiv3.storage.contracts import Ring, Watch

PAUSE = 5.0
"""Seconds after which a watch that failed begins again."""

_log = logging.getLogger(__name__)


class Bells:
    """`watch`: how the writes of other processes are heard; it goes on only as long as somebody listens."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._listeners: set[Ring] = set()
        self._watching: asyncio.Task[None] | None = None

    def ring(self, collection: str | None) -> None:
        """Tell everybody who listens. None: any collection may have changed."""
        for listener in self._listeners:
            listener(collection)

    def listen(self, listener: Ring) -> None:
        """Call `listener` at every ring from now on."""
        self._listeners.add(listener)
        if self._watching is None:
            self._watching = asyncio.create_task(self._keep_watching())

    def leave(self, listener: Ring) -> None:
        """Call `listener` no more."""
        self._listeners.discard(listener)
        if not self._listeners and self._watching is not None:
            self._watching.cancel()
            self._watching = None

    async def _keep_watching(self) -> None:
        while True:
            try:
                await self._watch(self.ring)
            except Exception:
                _log.exception("cannot hear what other processes write; looking now and then instead")
            await asyncio.sleep(PAUSE)
