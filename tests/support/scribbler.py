"""A process that writes whatever can be written, at random, until it is ended: `python -m tests.support.scribbler URL SEED`."""

from __future__ import annotations

import asyncio
import random
import sys
from typing import Any

from apiv3.model import collections
from apiv3.model.collections import Collection
from apiv3.model.errors import ApiError
from apiv3.operations.writing import Rules, Writing
from apiv3.security.principal import ANYBODY
from apiv3.storage.database import Database
from apiv3.storage.documents import DocumentTable

COLLECTIONS = ("entries", "treatments")
DATE = 1_700_000_000_000
NAMES = 15


class Scribbler:
    """`dice` decide. Documents have few names and few dates, so that they meet."""

    def __init__(self, store: DocumentTable, seed: int) -> None:
        self._store, self._writing = store, Writing(store, Rules())
        self._dice = random.Random(seed)

    async def scribble(self, times: int | None = None) -> None:
        """So many times, or for ever."""
        while times is None or (times := times - 1) >= 0:
            collection = collections.table()[self._dice.choice(COLLECTIONS)]
            try:
                await self._something(collection)
            except ApiError:
                """It was gone, deleted or there already: others write too."""
            await asyncio.sleep(self._dice.random() / 100)

    async def _something(self, collection: Collection) -> None:
        dice, name, document = self._dice, f"n{self._dice.randrange(NAMES)}", self._document()
        match dice.randrange(8):
            case 0 | 1:  # a new one, a duplicate, or the revival of a deleted one
                await self._writing.create(ANYBODY, collection, {**document, "identifier": name})
            case 2:
                change = {"notes": f"{dice.random()}"}
                await self._writing.patch(ANYBODY, collection, name, change)
            case 3:
                await self._writing.delete(ANYBODY, collection, name)
            case 4:
                await self._writing.delete(ANYBODY, collection, name, permanent=True)
            case 5:  # as an import does: without an identifier of its own
                async with self._store.writing(collection.name) as writer:
                    tick = writer.tick()
                    own = {**document, "identifier": f"i{tick}", "srvModified": tick, "srvCreated": tick}
                    await writer.insert(own, identified=False)
            case 6:  # found again by its date, it gets an identifier, and loses the one it had
                await self._writing.create(ANYBODY, collection, {**document, "identifier": f"o{dice.randrange(10**9)}"})
            case 7:
                await self._store.prune(collection.name, DATE + 60_000 * dice.randrange(6), 2)

    def _document(self) -> dict[str, Any]:
        date = DATE + 60_000 * self._dice.randrange(20)
        return {"date": date, "app": "test", "type": "sgv", "eventType": "Note", "sgv": self._dice.randrange(40, 400)}


async def _main(url: str, seed: int) -> None:
    database = Database(url)
    await database.connect()
    await Scribbler(DocumentTable(database), seed).scribble()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
