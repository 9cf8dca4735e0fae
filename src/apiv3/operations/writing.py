"""CREATE, UPDATE, PATCH and DELETE (docs/reference/protocol.md, section 4).

Each runs in a transaction that first locks the collection's clock, so that no other transaction writes to the collection. So
what it looks up cannot change, and concurrent CREATEs of the same document store one document. Writes that arrive together
share a transaction, in which they run one after the other (`operations.groups`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apiv3.model import documents
from apiv3.model.collections import Collection
from apiv3.model.documents import Document
from apiv3.model.errors import Gone, NotFound, PreconditionFailed, ReadOnly
from apiv3.operations.groups import GroupCommit
from apiv3.security.permissions import Demand
from apiv3.security.principal import Principal
from apiv3.storage.contracts import LARGE, DocumentStore, Stored, Upserter
from apiv3.turns import apart


@dataclass(frozen=True, slots=True)
class Rules:
    """Settings. `dedup_fallback`: API3_DEDUP_FALLBACK_ENABLED. `created_at_fallback`: API3_CREATED_AT_FALLBACK_ENABLED."""

    dedup_fallback: bool = True
    created_at_fallback: bool = True


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of storing a document. `srv_modified`: ms.

    `created`: the document is new. `deduplicated`: it replaced a document that was found to be the same. `former`: the
    identifier of that document, if it differs. `told`: whether the caller may be told `srv_modified`; not if it belongs to an
    unchanged document that the caller may not read.
    """

    identifier: str
    srv_modified: int
    created: bool = False
    deduplicated: bool = False
    former: str | None = None
    told: bool = True

    def fields(self) -> dict[str, object]:
        """Return the outcome as it is reported, without its status."""
        fields: dict[str, object] = {"identifier": self.identifier}
        if self.deduplicated:
            fields["isDeduplication"] = True
        if self.former is not None:
            fields["deduplicatedIdentifier"] = self.former
        return fields | {"lastModified": self.srv_modified} if self.told else fields


class Writing:
    """The operations that change documents."""

    def __init__(self, store: DocumentStore, rules: Rules) -> None:
        self._rules = rules
        self.groups = GroupCommit(store)

    async def create(self, who: Principal, collection: Collection, sent: Mapping[str, Any]) -> Written:
        """Insert a document, or replace its duplicate, even a deleted one.

        Raises MissingPermission, ReadOnly, BadRequest.
        """
        new = self.normalise(sent)

        async def create(writer: Upserter) -> Written:
            return await self.create_in(writer, who, collection, new, sent)

        return await self.groups.write(collection, create, [new], [sent])

    async def create_in(
        self,
        writer: Upserter,
        who: Principal,
        collection: Collection,
        new: Document,
        sent: Mapping[str, Any],
        *,
        keep: bool = False,
    ) -> Written:
        """Do `create` inside a transaction. `new`: the result of `normalise` for the document that was `sent`.

        `keep`: leave a document that exists already unchanged.
        """
        new = dict(new)  # this may run twice
        stored = await self.duplicate(writer, collection, new)
        if stored is None:
            return await _insert(writer, who, _demand(collection, "create"), new)
        if keep:
            who.demand(_demand(collection, "create"))
            return _kept(who, collection, stored, new)
        who.demand(_demand(collection, "update"))
        await _replace(writer, who, stored, new, sent, free={"identifier"})
        former = stored.identifier if stored.identifier != new["identifier"] else None
        return Written(new["identifier"], new["srvModified"], deduplicated=True, former=former)

    async def update(
        self,
        who: Principal,
        collection: Collection,
        identifier: str,
        sent: Mapping[str, Any],
        unmodified_since: int | None = None,
    ) -> Written:
        """Replace the document at `identifier`, or insert one there. `unmodified_since`: seconds.

        Raises MissingPermission, Gone, PreconditionFailed, ReadOnly, BadRequest.
        """
        normal = self.normalise({**sent, "identifier": identifier})

        async def update(writer: Upserter) -> Written:
            new, stored = dict(normal), await writer.find(identifier)
            if stored is None:
                return await _insert(writer, who, _demand(collection, "create").on(identifier), new)
            who.demand(_demand(collection, "update").on(identifier))
            _check_state(stored, unmodified_since)
            await _replace(writer, who, stored, new, sent)
            return Written(identifier, new["srvModified"])

        return await self.groups.write(collection, update, [{"identifier": identifier}], [sent])

    async def patch(
        self,
        who: Principal,
        collection: Collection,
        identifier: str,
        sent: Mapping[str, Any],
        unmodified_since: int | None = None,
    ) -> Written:
        """Change some fields of a document. Raises NotFound and what `update` raises."""
        normal = self.normalise(sent, partial=True)

        async def change(writer: Upserter) -> Written:
            patch, stored = dict(normal), await _find(writer, identifier)
            who.demand(_demand(collection, "update").on(identifier))
            _check_state(stored, unmodified_since)
            old = await _parsed(stored, who)
            documents.check_change(patch, old, free=_never_there(stored, old, patch))
            documents.validate(patch, partial=True)
            documents.resolve_duration(patch, old, patch=True)
            new = old | patch | {"srvModified": writer.tick()}
            _sign(new, "modifiedBy", who)
            await writer.replace(stored, new)
            return Written(identifier, new["srvModified"])

        return await self.groups.write(collection, change, [{"identifier": identifier}], [sent])

    async def delete(self, who: Principal, collection: Collection, identifier: str, *, permanent: bool = False) -> None:
        """Mark a document as deleted, or remove it for good. Raises MissingPermission, NotFound, ReadOnly."""

        async def delete(writer: Upserter) -> None:
            stored = await _find(writer, identifier)
            who.demand(_demand(collection, "delete").on(identifier))
            old = await _parsed(stored, who)
            if documents.is_read_only(old):
                raise ReadOnly
            if permanent:
                await writer.remove(stored)
                return
            new = old | {"isValid": False, "srvModified": writer.tick()}
            _sign(new, "modifiedBy", who)
            await writer.replace(stored, new)

        await self.groups.write(collection, delete, [{"identifier": identifier}])

    def normalise(self, sent: Mapping[str, Any], *, partial: bool = False) -> Document:
        return documents.normalise(sent, created_at_fallback=self._rules.created_at_fallback, partial=partial)

    async def duplicate(self, writer: Upserter, collection: Collection, new: Document) -> Stored | None:
        """Return the stored duplicate of a new document: by identifier, else by the collection's fallback fields; else None."""
        if isinstance(new["identifier"], str) and (stored := await writer.find(new["identifier"])):
            return stored
        if not self._rules.dedup_fallback or not collection.fallback or not all(name in new for name in collection.fallback):
            return None
        first, *others = collection.fallback
        if type(new[first]) is not collection.fallback_kind:
            return None
        for stored in await writer.find_unidentified(first, [new[first]]):
            old = stored.document
            if all(documents.same(new[name], old.get(name)) for name in others):
                return stored
        return None


def _demand(collection: Collection, action: str) -> Demand:
    return Demand.of("api", collection.name, action)


def _kept(who: Principal, collection: Collection, stored: Stored, new: Document) -> Written:
    """Return the outcome for a document that exists and is kept. A caller that may not read it learns only that it exists."""
    if who.allows(_demand(collection, "read").on(stored.identifier)):
        return Written(stored.identifier, stored.srv_modified, deduplicated=True)
    documents.validate(new)
    return Written(new["identifier"], stored.srv_modified, deduplicated=True, told=False)


async def _find(writer: Upserter, identifier: str) -> Stored:
    stored = await writer.find(identifier)
    if stored is None:
        raise NotFound
    return stored


async def _parsed(stored: Stored, who: Principal) -> Document:
    """Return the stored document, parsed anew; a large one is parsed beside the event loop. Raises ServerBusy."""
    if len(stored.body) <= LARGE:
        return stored.document
    return await apart(who.name or "", lambda: stored.document)


def _check_state(stored: Stored, unmodified_since: int | None) -> None:
    """Raises Gone for a deleted document, PreconditionFailed for one that changed after `unmodified_since` (seconds)."""
    if not stored.valid:
        raise Gone
    if unmodified_since is not None and stored.srv_modified // 1000 > unmodified_since:
        raise PreconditionFailed


def _never_there(stored: Stored, old: Document, new: Document) -> set[str]:
    """Return the immutable fields, such as `app`, that an imported document never had, and that may therefore be set."""
    return set() if stored.identified else new.keys() - old.keys()


async def _insert(writer: Upserter, who: Principal, demand: Demand, new: Document) -> Written:
    who.demand(demand)
    documents.validate(new)
    for field in documents.SERVER_OWNED:
        new.pop(field, None)
    new["srvModified"] = new["srvCreated"] = writer.tick()
    _sign(new, "subject", who)
    await writer.insert(new)
    return Written(new["identifier"], new["srvModified"], created=True)


async def _replace(
    writer: Upserter,
    who: Principal,
    stored: Stored,
    new: Document,
    sent: Mapping[str, Any],
    free: frozenset[str] | set[str] = frozenset(),
) -> None:
    """Replace a stored document by `new`, and set the fields in `new` that the server owns."""
    old = await _parsed(stored, who)
    documents.inherit(new, old, sent)
    documents.check_change(new, old, free=free | _never_there(stored, old, new))
    documents.validate(new)
    documents.resolve_duration(new, old, patch=False)
    for field in documents.SERVER_OWNED:
        new.pop(field, None)
    new["srvModified"] = writer.tick()
    new["srvCreated"] = old["srvCreated"]
    _sign(new, "subject", who)
    await writer.replace(stored, new)


def _sign(document: Document, field: str, who: Principal) -> None:
    if who.name is not None:
        document[field] = who.name
