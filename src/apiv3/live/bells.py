"""Bells: signals that a collection may have changed. They carry no data; listeners read the table.

So it does no harm when a bell rings without a change, twice, or not at all: listeners also check the table every few seconds.
"""

from __future__ import annotations

import asyncio
import logging

from apiv3.storage.contracts import Ring, Watch

PAUSE = 5.0
"""Seconds after which a watch that failed is restarted."""

_log = logging.getLogger(__name__)


class Bells:
    """The bells of a process. `watch`: rings for writes of other processes; it runs only while there are listeners."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._listeners: set[Ring] = set()
        self._watching: asyncio.Task[None] | None = None

    def ring(self, collection: str | None) -> None:
        """Call all listeners with the name of a collection; None: any collection may have changed."""
        for listener in self._listeners:
            listener(collection)

    def listen(self, listener: Ring) -> None:
        """Call `listener` at every ring, until `leave`."""
        self._listeners.add(listener)
        if self._watching is None:
            self._watching = asyncio.create_task(self._keep_watching())

    def leave(self, listener: Ring) -> None:
        """Stop calling `listener`."""
        self._listeners.discard(listener)
        if not self._listeners and self._watching is not None:
            self._watching.cancel()
            self._watching = None

    async def _keep_watching(self) -> None:
        while True:
            try:
                await self._watch(self.ring)
            except Exception:
                _log.exception("cannot watch for writes of other processes; checking every few seconds instead")
            await asyncio.sleep(PAUSE)
