"""Rows of a file, a batch after the other, to where they belong; and a report of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from apiv3.files.destinations import Destination
from apiv3.files.rows import Malformed, Row
from apiv3.model.errors import ApiError
from apiv3.operations.bulk import Outcome


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


async def transfer(rows: Iterable[Row], to: Destination, report: Report, progress: Callable[[int], None]) -> None:
    """All rows, in batches of one collection each. `progress` is told how many bytes of the file are done.

    Raises Malformed once everything before the fault is stored.
    """
    waiting: dict[str, list[Row]] = {}
    size = number = 0

    async def flush() -> None:
        for collection, some in waiting.items():
            report.add(collection, some, await to.store(collection, some))
        waiting.clear()
        progress(size)

    try:
        for row in rows:
            waiting.setdefault(row.collection, []).append(row)
            size, number = size + row.size, number + 1
            if size >= to.batch.size or number >= to.batch.documents:
                await flush()
                size = number = 0
    except Malformed:
        await flush()
        raise
    await flush()
