"""CREATE of many documents at once: each gets what it would have got alone, in one transaction for all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from apiv3.model.collections import Collection
from apiv3.model.documents import Document
from apiv3.model.errors import ApiError, StorageUnavailable
from apiv3.operations.batch import Batch
from apiv3.operations.writing import Writing, Written
from apiv3.security.principal import Principal
from apiv3.storage.contracts import DocumentStore

Item = Document | ApiError
"""A document, or why what was sent in its place is none."""
Outcome = Written | ApiError


class Prepared(NamedTuple):
    """A document as it was sent, and as it is going to be stored. `identified`: whether its identifier is its own."""

    sent: Document
    new: Document
    identified: bool = True


Write = Callable[[Batch, Prepared], Awaitable[Written]]


async def together(
    store: DocumentStore,
    collection: Collection,
    items: Sequence[Prepared | ApiError],
    write: Write,
    at: int | None = None,
) -> list[Outcome]:
    """What became of each item, in their order: a refused one does not undo the others. `at`: see DocumentStore.writing.

    Raises StorageUnavailable; then nothing was stored.
    """

    async def outcome(item: Prepared | ApiError) -> Outcome:
        if isinstance(item, ApiError):
            return item
        try:
            return await write(batch, item)
        except StorageUnavailable:
            raise
        except ApiError as refusal:
            return refusal

    async with store.writing(collection.name, at) as writer:
        batch = Batch(writer)
        await batch.prepare(collection, [item.new for item in items if isinstance(item, Prepared)])
        outcomes = [await outcome(item) for item in items]
        await batch.flush()
    return outcomes


class Bulk:
    """Many documents from one client."""

    def __init__(self, store: DocumentStore, writing: Writing) -> None:
        self._store, self._writing = store, writing

    async def create(
        self, who: Principal, collection: Collection, items: Sequence[Item], *, keep: bool = False
    ) -> list[Outcome]:
        """What CREATE would have answered to each. `keep`: a document that is there already stays as it is.

        Raises StorageUnavailable; then nothing was stored.
        """

        async def write(batch: Batch, item: Prepared) -> Written:
            return await self._writing.create_in(batch, who, collection, item.new, item.sent, keep=keep)

        prepared = [item if isinstance(item, ApiError) else Prepared(item, self._writing.normalise(item)) for item in items]
        return await together(self._store, collection, prepared, write)
