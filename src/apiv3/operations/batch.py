"""Store many documents in one transaction at a fraction of the cost of storing them one by one.

A Batch is an Upserter, so the code for a single document also works for many, with the same rules. It looks up the possible
duplicates of all documents with few statements, and writes all changes with few statements.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection as Values
from collections.abc import Mapping, Sequence
from typing import Any

from apiv3.model.collections import Collection
from apiv3.model.devices import Message
from apiv3.model.timestamps import now
from apiv3.storage.contracts import LARGE, DocumentWriter, Replacement, Stored

MOST_WAITING = 1_048_576
"""Bytes of stored documents whose new versions wait to be written."""


class Batch:
    """An Upserter that collects changes for the writer of a transaction; call `flush` at the end.

    `changes`: the number of changes so far.
    """

    def __init__(self, writer: DocumentWriter) -> None:
        self._writer = writer
        self.changes = 0
        self._found: dict[str, Stored | None] = {}
        self._unidentified: dict[object, Sequence[Stored]] = {}
        self._new: list[Mapping[str, Any]] = []
        self._new_unidentified: list[Mapping[str, Any]] = []
        self._replaced: list[Replacement] = []
        self._touched: set[str] = set()
        """The old and new identifiers of documents that wait to be written."""
        self._touched_unidentified = False
        """Whether any of them has no identifier of its own."""
        self._size = 0
        """Bytes of the stored documents whose new versions wait to be written."""

    async def prepare(self, collection: Collection, documents: Sequence[Mapping[str, Any]]) -> None:
        """Look up the possible duplicates of all these documents, unless there is only one: `find` finds it as fast."""
        identifiers = {each["identifier"] for each in documents if isinstance(each["identifier"], str)}
        field, kind = next(iter(collection.fallback), "date"), collection.fallback_kind
        values = {each[field] for each in documents if collection.fallback and type(each.get(field)) is kind}
        if len(identifiers) + len(values) < 2:
            return
        stored = await self._writer.look_up(tuple(identifiers), field, tuple(values))
        if not stored:
            self._found, self._unidentified = dict.fromkeys(identifiers), dict.fromkeys(values, ())
            return
        self._found = dict.fromkeys(identifiers) | {each.identifier: each for each in stored if each.identifier in identifiers}
        for each in stored:  # large ones are looked up when it is their turn, so that few are in memory together
            if each.is_large:
                self._found.pop(each.identifier, None)
        by_value = defaultdict[object, list[Stored]](list)
        for _, each in sorted({each.key: each for each in stored if not (each.identified or each.is_large)}.items()):
            if isinstance(value := each.document.get(field), int | float | str):
                by_value[value].append(each)
        self._unidentified = {value: by_value.get(value, ()) for value in values}

    def tick(self, at: int = 0) -> int:
        return self._writer.tick(at)

    async def find(self, identifier: str) -> Stored | None:
        if identifier in self._touched:
            await self.flush()
        if identifier in self._found:
            return self._found[identifier]
        found = await self._writer.find(identifier)
        if found is None or len(found.body) <= LARGE:
            self._found[identifier] = found
        return found

    async def find_unidentified(self, field: str, values: Values[object]) -> Sequence[Stored]:
        """See `Upserter`. `field` must be the one used by `prepare`: the first fallback field of the collection."""
        if self._touched_unidentified:
            await self.flush()
        found: list[Stored] = []
        for value in values:
            if value not in self._unidentified:
                self._unidentified[value] = await self._writer.find_unidentified(field, [value])
            found += self._unidentified[value]
        return found

    async def insert(self, *documents: Mapping[str, Any], identified: bool = True) -> None:
        self.changes += 1
        (self._new if identified else self._new_unidentified).extend(documents)
        self._touched.update(each["identifier"] for each in documents)
        self._touched_unidentified |= not identified

    async def replace(self, stored: Stored, document: Mapping[str, Any]) -> None:
        self._touch(stored)
        self._touched.add(document["identifier"])
        self._replaced.append(Replacement.of(self, stored, document))
        self._size += len(stored.body)
        if self._size > MOST_WAITING:
            await self.flush()

    async def remove(self, stored: Stored) -> None:
        self._touch(stored)
        await self._writer.remove(stored)

    async def recall(self, message: Message) -> Mapping[str, Any] | None:
        """Return the answer that a device's message got before; see `DocumentWriter`."""
        return await self._writer.recall(message)

    async def remember(self, message: Message, answer: Mapping[str, Any]) -> None:
        """Remember the answer to a device's message; see `DocumentWriter`."""
        self.changes += 1
        await self._writer.remember(message, answer, now())

    def _touch(self, stored: Stored) -> None:
        """Note that a document differs from what was looked up."""
        self.changes += 1
        self._touched.add(stored.identifier)
        self._touched_unidentified |= not stored.identified

    async def flush(self) -> None:
        """Write all waiting changes."""
        if self._new:
            await self._writer.insert(*self._new)
        if self._new_unidentified:
            await self._writer.insert(*self._new_unidentified, identified=False)
        if self._replaced:
            await self._writer.replace_all(self._replaced)
        for identifier in self._touched:
            self._found.pop(identifier, None)
        if self._touched_unidentified:
            self._unidentified.clear()
        for waiting in (self._new, self._new_unidentified, self._replaced, self._touched):
            waiting.clear()
        self._touched_unidentified = False
        self._size = 0
