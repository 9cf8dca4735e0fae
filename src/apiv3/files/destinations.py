"""Where the documents of a file can go: into a database, or over HTTP to a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from apiv3.client.uploads import Result, Uploader
from apiv3.model.collections import Collection
from apiv3.model.documents import Document, normalise, validate
from apiv3.model.errors import BadRequest
from apiv3.operations.bulk import Outcome
from apiv3.operations.restoring import Restoring
from apiv3.operations.writing import Written

_NEVER_NULL = frozenset({"date", "utcOffset", "created_at", "app", "identifier"})


class Portion(NamedTuple):
    """The most that is stored at once: documents, and bytes of the file."""

    documents: int
    size: int


class Destination(Protocol):
    portion: Portion

    async def store(self, collection: str, documents: Sequence[Document]) -> Sequence[Outcome]:
        """Store documents in a collection; return the outcome of each."""


class InDatabase:
    """Stores documents as they are."""

    portion = Portion(10_000, 8_388_608)

    def __init__(self, restoring: Restoring, collections: Mapping[str, Collection]) -> None:
        self._restoring, self._collections = restoring, collections

    async def store(self, collection: str, documents: Sequence[Document]) -> Sequence[Outcome]:
        """Store documents; return the outcome of each. Raises KeyError for an unknown collection, StorageUnavailable."""
        return await self._restoring.restore(self._collections[collection], [_stated(each) for each in documents])


class Nowhere:
    """Stores nothing, and reports what would be stored. `spans`: the first and the last time in each collection, in ms."""

    portion = Portion(10_000, 8_388_608)

    def __init__(self) -> None:
        self.spans: dict[str, tuple[int, int]] = {}

    async def store(self, collection: str, documents: Sequence[Document]) -> Sequence[Outcome]:
        return [self._outcome(collection, _stated(each)) for each in documents]

    def _outcome(self, collection: str, sent: Document) -> Outcome:
        is_old = "_id" in sent and not sent.get("identifier")  # a document from before APIv3
        document = normalise({**sent, "identifier": sent["_id"]} if is_old else sent)
        free = ("created_at",) if is_old else ()
        try:
            validate({name: value for name, value in document.items() if name not in free}, partial=is_old)
        except BadRequest as refusal:
            return refusal
        if date := document.get("date"):
            first, last = self.spans.get(collection, (date, date))
            self.spans[collection] = min(first, date), max(last, date)
        return Written(document["identifier"], 0, created=True)


class OnServer:
    """Sends documents to a server, which treats them like any other app's."""

    portion = Portion(500, 2_097_152)

    def __init__(self, uploader: Uploader) -> None:
        self._uploader = uploader

    async def store(self, collection: str, documents: Sequence[Document]) -> Sequence[Outcome]:
        """Send documents; return the outcome of each. Raises Refused, Unreachable."""
        return [
            _outcome(each) for each in await self._uploader.send(collection, [_complete(_stated(each)) for each in documents])
        ]


def _stated(document: Document) -> Document:
    """Remove the fields of _NEVER_NULL that are null: null counts as missing there."""
    return {name: value for name, value in document.items() if value is not None or name not in _NEVER_NULL}


def _complete(document: Document) -> Document:
    """Add what a server requires and a document from before APIv3 lacks: `app`, and `identifier`, which takes its `_id`."""
    missing = {"identifier": document.get("_id"), "app": "apiv3 import"} if "_id" in document else {}
    return {**missing, **document}


def _outcome(result: Result) -> Outcome:
    if result.is_stored:
        return Written(result.identifier, result.modified, created=result.status == 201)
    refusal = BadRequest(result.message)
    refusal.description = result.description
    return refusal
