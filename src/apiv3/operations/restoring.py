"""Documents from a file of this server or another one: they keep what a client could not set."""

from __future__ import annotations

from collections.abc import Sequence

from apiv3.model import documents, timestamps
from apiv3.model.collections import Collection
from apiv3.model.documents import Document
from apiv3.model.errors import ApiError
from apiv3.operations.batch import Batch
from apiv3.operations.bulk import Item, Outcome, Prepared, documents_of, write_each
from apiv3.operations.writing import Writing, Written
from apiv3.retrying import retried
from apiv3.storage.contracts import DocumentStore


class Restoring:
    """Puts documents back, server times and deletion marks included. What is there already stays as it is.

    `srvModified` is kept where it lies after everything in the collection, so that whoever follows HISTORY misses nothing;
    a document that comes out of its order gets the next one. So an empty collection ends up as the one that was exported.
    """

    def __init__(self, store: DocumentStore, writing: Writing) -> None:
        self._store, self._writing = store, writing

    @retried
    async def restore(self, collection: Collection, items: Sequence[Item]) -> list[Outcome]:
        """What became of each item, in their order. Raises StorageUnavailable; then nothing was stored."""

        async def write(batch: Batch, item: Prepared) -> Written:
            stored = await self._stored(batch, collection, item)
            if stored is not None:
                return stored
            _validate(item)
            _date(item.new, batch)
            await batch.insert(item.new, identified=item.identified)
            return Written(item.new["identifier"], item.new["srvModified"], created=True)

        prepared = [item if isinstance(item, ApiError) else self._prepare(item) for item in items]
        async with self._store.writing(collection.name, at=0) as writer:
            batch = Batch(writer)
            await batch.prepare(collection, documents_of(prepared))
            outcomes = await write_each(batch, prepared, write)
            await batch.flush()
        return outcomes

    def _prepare(self, sent: Document) -> Prepared:
        """A document with only an `_id` is from before APIv3: it keeps that as its address, and lacks what is demanded now."""
        if sent.get("identifier") or "_id" not in sent:
            return Prepared(sent, self._writing.normalise(sent))
        new = self._writing.normalise({**sent, "identifier": sent["_id"]})
        if type(new.get("created_at")) is int and abs(new["created_at"]) <= timestamps.EPOCH_2000:
            new["created_at"] = timestamps.iso(new["created_at"])
        return Prepared(sent, new, identified=False)

    async def _stored(self, batch: Batch, collection: Collection, item: Prepared) -> Written | None:
        """The document that is there already. One that a server stored before was not the same as any other there."""
        if item.identified and "srvModified" not in item.sent:
            stored = await self._writing.duplicate(batch, collection, item.new)
        else:
            stored = await batch.find(item.new["identifier"]) if isinstance(item.new["identifier"], str) else None
        return Written(stored.identifier, stored.srv_modified, deduplicated=True) if stored else None


def _validate(item: Prepared) -> None:
    """Raises BadRequest. In a document from before APIv3 `created_at` may be 1970, or no time at all: nobody looked at it."""
    free = () if item.identified else ("created_at",)
    documents.validate({name: value for name, value in item.new.items() if name not in free}, partial=not item.identified)


def _date(document: Document, batch: Batch) -> None:
    """Give it its server times: its own, as far as they can be true."""
    now = timestamps.now()
    modified = batch.tick(_moment(document.get("srvModified"), now))
    document["srvCreated"] = min(_moment(document.get("srvCreated"), modified), modified)
    document["srvModified"] = modified
    for field in ("subject", "modifiedBy"):
        if not isinstance(document.get(field), str):
            document.pop(field, None)


def _moment(value: object, latest: int) -> int:
    """A time in ms that a server may have set; `latest` where it is none, or lies after that."""
    if isinstance(value, int) and not isinstance(value, bool) and timestamps.EPOCH_2000 < value <= latest:
        return value
    return latest
