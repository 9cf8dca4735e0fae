"""How much the database holds."""

from __future__ import annotations

from collections.abc import Sequence

from apiv3.storage.contracts.inventory import Holding
from apiv3.storage.database import Database

_HOLDINGS = (
    "SELECT collection, count(*), max(date), max(srv_modified) FROM documents WHERE valid GROUP BY collection ORDER BY 1"
)


class InventoryTable:
    """The Inventory of both databases."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def holdings(self) -> Sequence[Holding]:
        return [Holding(*row) for row in await self._database.fetch(_HOLDINGS)]

    async def size(self) -> int:
        ((size,),) = await self._database.fetch(self._database.dialect.size_query)
        return int(size)
