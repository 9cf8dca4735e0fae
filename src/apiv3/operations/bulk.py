"""Create many documents in one transaction, each with the outcome that it would have alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

import orjson

from apiv3.model.collections import Collection
from apiv3.model.devices import Message
from apiv3.model.documents import Document
from apiv3.model.errors import ApiError, StorageUnavailable, TooLarge
from apiv3.operations.batch import Batch
from apiv3.operations.writing import Writing, Written
from apiv3.security.principal import Principal

Item = Document | ApiError
"""A document, or the error that refuses what was sent in its place."""
Outcome = Written | ApiError


class Prepared(NamedTuple):
    """A document as it was sent, and as it will be stored. `identified`: whether its identifier is its own."""

    sent: Document
    new: Document
    identified: bool = True


Reports = Sequence[Mapping[str, object]]
"""What `reported` returns for each document of a message."""
MOST_REPORTED = 64_000
"""Most bytes of the reports of one message, since an answer to a device is one message of at most 65,519 bytes."""
Write = Callable[[Batch, Prepared], Awaitable[Written]]


def documents_of(items: Sequence[Prepared | ApiError]) -> list[Document]:
    """Return the documents that will be stored, without refused items."""
    return [item.new for item in items if isinstance(item, Prepared)]


async def write_each(batch: Batch, items: Sequence[Prepared | ApiError], write: Write) -> list[Outcome]:
    """Write each item and return the outcomes, in their order. A refusal does not affect others. Raises StorageUnavailable."""

    async def outcome(item: Prepared | ApiError) -> Outcome:
        if isinstance(item, ApiError):
            return item
        try:
            return await write(batch, item)
        except StorageUnavailable:
            raise
        except ApiError as refusal:
            return refusal

    return [await outcome(item) for item in items]


def reported(outcome: Outcome) -> dict[str, object]:
    """Return the outcome of one document of many: the body of the answer that it would have got alone."""
    if isinstance(outcome, ApiError):
        return outcome.fields()
    return {"status": 201 if outcome.created else 200, **outcome.fields()}


class Bulk:
    """The operation that creates many documents."""

    def __init__(self, writing: Writing) -> None:
        self._writing = writing

    async def create(
        self, who: Principal, collection: Collection, items: Sequence[Item], *, keep: bool = False
    ) -> list[Outcome]:
        """Create documents, and return the outcome of CREATE for each. `keep`: leave documents that exist already unchanged.

        Raises StorageUnavailable; then nothing was stored.
        """

        async def write(batch: Batch, item: Prepared) -> Written:
            return await self._writing.create_in(batch, who, collection, item.new, item.sent, keep=keep)

        async def write_all(batch: Batch) -> list[Outcome]:
            return await write_each(batch, prepared, write)

        prepared = [item if isinstance(item, ApiError) else Prepared(item, self._writing.normalise(item)) for item in items]
        new = documents_of(prepared)
        return await self._writing.groups.write(collection, write_all, new, new)

    async def create_once(self, who: Principal, collection: Collection, items: Sequence[Item], message: Message) -> Reports:
        """Create the documents of a device's message, unless that was done before, and return the report of each.

        The message is remembered if it has changed anything. Raises Conflict when another message had its id, TooLarge when
        the reports are too large for an answer, StorageUnavailable; then nothing was stored.
        """
        prepared = [item if isinstance(item, ApiError) else Prepared(item, self._writing.normalise(item)) for item in items]

        async def write(batch: Batch, item: Prepared) -> Written:
            return await self._writing.create_in(batch, who, collection, item.new, item.sent)

        async def write_all(batch: Batch) -> Reports:
            if (before := await batch.recall(message)) is not None:
                earlier: Reports = before["results"]
                return earlier
            changes = batch.changes
            reports = [reported(outcome) for outcome in await write_each(batch, prepared, write)]
            if len(orjson.dumps(reports)) > MOST_REPORTED:
                raise TooLarge("The results of so many documents are too large for one answer: send fewer in one message")
            if batch.changes > changes:
                await batch.remember(message, {"results": reports})
            return reports

        new = documents_of(prepared)
        return await self._writing.groups.write(collection, write_all, new, new)
