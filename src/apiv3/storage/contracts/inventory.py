"""What the rest of the server may ask of the storage about how much there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Holding(NamedTuple):
    """What a collection holds, without deleted documents. `newest`: the greatest `date`; `changed`: the last `srvModified`.

    Times are in ms.
    """

    collection: str
    documents: int
    newest: int | None
    changed: int


class Inventory(Protocol):
    async def holdings(self) -> Sequence[Holding]:
        """Return what each collection holds, by name, without empty ones. This reads the whole table."""

    async def size(self) -> int:
        """Return the size of the database in bytes."""
