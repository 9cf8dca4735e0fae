"""Restore documents from a file of this or another server, with the fields that clients cannot set."""

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
    """Restores documents with their server times and deletion marks. Documents that exist already are left unchanged.

    A document keeps its `srvModified` if it is greater than all others in the collection; otherwise it gets the next one, so
    that clients that follow HISTORY miss nothing. An import into an empty collection thus reproduces the exported one.
    """

    def __init__(self, store: DocumentStore, writing: Writing) -> None:
        self._store, self._writing = store, writing

    @retried
    async def restore(self, collection: Collection, items: Sequence[Item]) -> list[Outcome]:
        """Restore items, and return the outcome of each, in their order. Raises StorageUnavailable; then nothing was stored."""

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
        """Prepare a document for storage. One with only an `_id` is from before APIv3: the `_id` becomes its identifier, and it
        may lack fields that are required now.
        """
        if sent.get("identifier") or "_id" not in sent:
            return Prepared(sent, self._writing.normalise(sent))
        new = self._writing.normalise({**sent, "identifier": sent["_id"]})
        if type(new.get("created_at")) is int and abs(new["created_at"]) <= timestamps.EPOCH_2000:
            new["created_at"] = timestamps.iso(new["created_at"])
        return Prepared(sent, new, identified=False)

    async def _stored(self, batch: Batch, collection: Collection, item: Prepared) -> Written | None:
        """Return the outcome for a document that exists already, else None. A document with `srvModified` was stored by a
        server before, so it is only compared by its identifier.
        """
        if item.identified and "srvModified" not in item.sent:
            stored = await self._writing.duplicate(batch, collection, item.new)
        else:
            stored = await batch.find(item.new["identifier"]) if isinstance(item.new["identifier"], str) else None
        return Written(stored.identifier, stored.srv_modified, deduplicated=True) if stored else None


def _validate(item: Prepared) -> None:
    """Raise BadRequest for an invalid document. `created_at` is not checked in documents from before APIv3, which may have any
    value there.
    """
    free = () if item.identified else ("created_at",)
    documents.validate({name: value for name, value in item.new.items() if name not in free}, partial=not item.identified)


def _date(document: Document, batch: Batch) -> None:
    """Set the server times of a document: its own, if they are plausible."""
    now = timestamps.now()
    modified = batch.tick(_moment(document.get("srvModified"), now))
    document["srvCreated"] = min(_moment(document.get("srvCreated"), modified), modified)
    document["srvModified"] = modified
    for field in ("subject", "modifiedBy"):
        if not isinstance(document.get(field), str):
            document.pop(field, None)


def _moment(value: object, latest: int) -> int:
    """Return a time in ms that a server may have set; `latest` for any other value, or a later time."""
    if isinstance(value, int) and not isinstance(value, bool) and timestamps.EPOCH_2000 < value <= latest:
        return value
    return latest
