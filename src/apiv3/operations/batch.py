"""Many documents in one transaction, at a fraction of what they cost one by one.

A Batch is an Upserter: what holds for one document holds for many, since the same code runs for each of them. It looks
up together what they are going to ask for, and inserts together what is new.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection as Values
from collections.abc import Mapping, Sequence
from typing import Any

from apiv3.model.collections import Collection
from apiv3.model.documents import Document
from apiv3.storage.contracts import DocumentWriter, Stored


class Batch:
    """Stands before the writer of a transaction. `flush` has to be called in the end."""

    def __init__(self, writer: DocumentWriter) -> None:
        self._writer = writer
        self._found: dict[str, Stored | None] = {}
        self._unidentified: dict[object, Sequence[Stored]] = {}
        self._waiting: dict[str, Mapping[str, Any]] = {}
        self._waiting_unidentified: dict[str, Mapping[str, Any]] = {}

    async def prepare(self, collection: Collection, documents: Sequence[Document]) -> None:
        """Look up at once what all these documents may be the same as."""
        identifiers = {each["identifier"] for each in documents if isinstance(each["identifier"], str)}
        self._found = dict.fromkeys(identifiers)
        self._found |= {stored.identifier: stored for stored in await self._writer.find_all(identifiers)}
        if collection.fallback:
            field, kind = collection.fallback[0], collection.fallback_kind
            values = {each[field] for each in documents if type(each.get(field)) is kind}
            by_value = defaultdict[object, list[Stored]](list)
            for stored in await self._writer.find_unidentified(field, values):
                by_value[stored.document[field]].append(stored)
            self._unidentified = {value: by_value.get(value, ()) for value in values}

    def tick(self, at: int = 0) -> int:
        return self._writer.tick(at)

    async def find(self, identifier: str) -> Stored | None:
        if identifier in self._waiting or identifier in self._waiting_unidentified:
            await self.flush()
        if identifier not in self._found:
            self._found[identifier] = await self._writer.find(identifier)
        return self._found[identifier]

    async def find_unidentified(self, field: str, values: Values[object]) -> Sequence[Stored]:
        """`field` is the one that the documents were prepared for: the collection's first fallback field."""
        if self._waiting_unidentified:
            await self.flush()
        found: list[Stored] = []
        for value in values:
            if value not in self._unidentified:
                self._unidentified[value] = await self._writer.find_unidentified(field, [value])
            found += self._unidentified[value]
        return found

    async def insert(self, *documents: Mapping[str, Any], identified: bool = True) -> None:
        waiting = self._waiting if identified else self._waiting_unidentified
        for each in documents:
            waiting[each["identifier"]] = each

    async def replace(self, stored: Stored, document: Mapping[str, Any]) -> None:
        await self._writer.replace(stored, document)
        self._forget(stored)
        self._found.pop(document["identifier"], None)

    async def flush(self) -> None:
        """Insert what is still waiting."""
        await self._insert(self._waiting, identified=True)
        if self._waiting_unidentified:
            await self._insert(self._waiting_unidentified, identified=False)
            self._unidentified.clear()

    async def _insert(self, waiting: dict[str, Mapping[str, Any]], *, identified: bool) -> None:
        await self._writer.insert(*waiting.values(), identified=identified)
        for identifier in waiting:
            self._found.pop(identifier, None)
        waiting.clear()

    def _forget(self, stored: Stored) -> None:
        """It is no longer what it was when it was looked up."""
        self._found.pop(stored.identifier, None)
        if not stored.identified:
            self._unidentified.clear()
