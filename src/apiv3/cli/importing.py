"""The work of `apiv3 import`: rows of a file, a batch after the other, into a store; and a report of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from apiv3.app import Installation
from apiv3.client.uploads import Result, Uploader
from apiv3.files.rows import Malformed, Row
from apiv3.model.collections import Collection
from apiv3.model.documents import Document
from apiv3.model.errors import ApiError, BadRequest
from apiv3.operations.bulk import Outcome
from apiv3.operations.outcomes import Written
from apiv3.operations.restoring import Restoring

Send = Callable[[str, Sequence[Row]], Awaitable[Sequence[Outcome]]]
"""Stores rows in a collection; what became of each."""


@dataclass(frozen=True, slots=True)
class Batches:
    """How much is stored at once: documents, and bytes of the file."""

    documents: int
    size: int


LOCAL, REMOTE = Batches(10_000, 8_388_608), Batches(500, 2_097_152)


@dataclass
class Report:
    """What became of the documents so far: `counts` of new, duplicate and refused ones for each collection."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    refused: list[dict[str, Any]] = field(default_factory=list)

    def add(self, collection: str, rows: Sequence[Row], outcomes: Sequence[Outcome]) -> None:
        counts = self.counts.setdefault(collection, Counter(new=0, duplicate=0, refused=0))
        for row, outcome in zip(rows, outcomes, strict=True):
            if isinstance(outcome, ApiError):
                counts["refused"] += 1
                reason = ": ".join(filter(None, (str(outcome), outcome.description)))
                self.refused.append({"line": row.place, "reason": reason})
            else:
                counts["new" if outcome.created else "duplicate"] += 1


async def transfer(rows: Iterable[Row], send: Send, batches: Batches, report: Report, progress: Callable[[int], None]) -> None:
    """All rows, in batches of one collection each. `progress` is told how many bytes of the file are done.

    Raises Malformed once everything before the fault is stored.
    """
    waiting: dict[str, list[Row]] = {}
    size = number = 0

    async def flush() -> None:
        for collection, some in waiting.items():
            report.add(collection, some, await send(collection, some))
        waiting.clear()
        progress(size)

    try:
        for row in rows:
            waiting.setdefault(row.collection, []).append(row)
            size, number = size + row.size, number + 1
            if size >= batches.size or number >= batches.documents:
                await flush()
                size = number = 0
    except Malformed:
        await flush()
        raise
    await flush()


def into_database(installation: Installation) -> Send:
    """Stores rows in the database of an installation, as they are."""
    restoring = Restoring(installation.documents, installation.writing)

    async def send(name: str, rows: Sequence[Row]) -> Sequence[Outcome]:
        return await restoring.restore(_collection(installation.collections, name), [row.item for row in rows])

    return send


def _collection(collections: Mapping[str, Collection], name: str) -> Collection:
    if name not in collections:
        raise click.UsageError(f"There is no collection {name!r}; there are: {', '.join(collections)}. Say --collection.")
    return collections[name]


def over_http(uploader: Uploader) -> Send:
    """Sends rows to a server, which treats them like any other app's."""

    async def send(name: str, rows: Sequence[Row]) -> Sequence[Outcome]:
        documents = [_complete(row.item) for row in rows if not isinstance(row.item, ApiError)]
        results = iter(await uploader.send(name, documents) if documents else ())
        return [row.item if isinstance(row.item, ApiError) else _outcome(next(results)) for row in rows]

    return send


def _complete(document: Document) -> Document:
    """What is from before APIv3 has neither an identifier nor an app, which a server demands: it keeps its `_id` as the one."""
    missing = {"identifier": document.get("_id"), "app": "apiv3 import"} if "_id" in document else {}
    return {**missing, **document}


def _outcome(result: Result) -> Outcome:
    if result.is_stored:
        return Written(result.identifier, result.modified, created=result.status == 201)
    refusal = BadRequest(result.message)
    refusal.description = result.description
    return refusal
