"""Store the rows of a file in batches, and report the outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from apiv3.files.destinations import Destination
from apiv3.files.records import Malformed, Record
from apiv3.model.documents import Document
from apiv3.model.errors import ApiError
from apiv3.operations.bulk import Outcome


class Remark(NamedTuple):
    """The reason why a row was not stored, or not unchanged. `place` and `counted`: as in `Record`."""

    place: int
    counted: str
    reason: str


@dataclass
class Report:
    """The outcome so far: `counts` of new, duplicate and refused documents for each collection, the reasons for those that
    were `refused`, and `notes` about values that stored documents could not keep.
    """

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    refused: list[Remark] = field(default_factory=list)
    notes: list[Remark] = field(default_factory=list)

    @property
    def stored(self) -> int:
        """The number of documents that are stored now."""
        return sum(each["new"] + each["duplicate"] for each in self.counts.values())

    def add(self, row: Record, outcome: Outcome) -> None:
        counts = self.counts.setdefault(row.collection, Counter(new=0, duplicate=0, refused=0))
        if isinstance(outcome, ApiError):
            counts["refused"] += 1
            reason = ": ".join(filter(None, (str(outcome), outcome.description)))
            self.refused.append(Remark(row.place, row.counted, reason))
        else:
            counts["new" if outcome.created else "duplicate"] += 1
            self.notes += [Remark(row.place, row.counted, note) for note in row.notes]


async def transfer(rows: Iterable[Record], to: Destination, report: Report, progress: Callable[[int], None]) -> None:
    """Store all rows, in batches of one collection each. Rows that were refused while reading are only reported. `progress`
    is called with the number of bytes of the file that are done.

    Raises Malformed after everything before the fault is stored.
    """
    waiting: dict[str, list[tuple[Record, Document]]] = {}
    size = number = 0

    async def flush() -> None:
        for collection, some in waiting.items():
            outcomes = await to.store(collection, [document for _, document in some])
            for (row, _), outcome in zip(some, outcomes, strict=True):
                report.add(row, outcome)
        waiting.clear()
        progress(size)

    try:
        for row in rows:
            if isinstance(row.item, ApiError):
                report.add(row, row.item)
            else:
                waiting.setdefault(row.collection, []).append((row, row.item))
            size, number = size + row.size, number + 1
            if size >= to.portion.size or number >= to.portion.documents:
                await flush()
                size = number = 0
    except Malformed:
        await flush()
        raise
    await flush()
