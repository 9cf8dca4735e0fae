"""The state of the server: what it is, what it holds, and how long it has been running."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from apiv3 import __version__
from apiv3.model.timestamps import now
from apiv3.security.demands import administration
from apiv3.security.principal import Principal
from apiv3.storage.contracts import DocumentStore
from apiv3.storage.contracts.inventory import Holding, Inventory

READ = administration("state", "read")


@dataclass(frozen=True, slots=True)
class State:
    """`database`: its name and version. `size`: bytes of the database. `processes`: how many serve. Of the one that answered:
    `process`: its id; `since`: when it started. `last_backup`: None if it is unknown. Times are in ms.
    """

    version: str
    database: tuple[str, str]
    size: int
    holdings: Sequence[Holding]
    processes: int
    process: int
    since: int
    last_backup: int | None


class Inspection:
    """Reads the state. `processes`: how many were started. `backup`: the file that is touched after each backup."""

    def __init__(
        self, inventory: Inventory, documents: DocumentStore, collections: Collection[str], processes: int, backup: Path
    ) -> None:
        self._inventory, self._documents, self._collections = inventory, documents, collections
        self._processes, self._backup, self._since = processes, backup, now()

    async def state(self, who: Principal) -> State:
        """Return the state. Raises MissingPermission, StorageUnavailable."""
        who.demand(READ)
        return State(
            __version__,
            await self._documents.version(),
            await self._inventory.size(),
            await self._holdings(),
            self._processes,
            os.getpid(),
            self._since,
            self.last_backup(),
        )

    def last_backup(self) -> int | None:
        """Return when the file of the backup was touched last, in ms; None if it does not exist."""
        try:
            return self._backup.stat().st_mtime_ns // 1_000_000
        except OSError:
            return None

    async def _holdings(self) -> Sequence[Holding]:
        """Return what each collection of this installation holds, also the empty ones."""
        held = {holding.collection: holding for holding in await self._inventory.holdings()}
        return [held.get(name, Holding(name, 0, None, 0)) for name in self._collections]
