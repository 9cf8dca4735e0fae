"""READ, SEARCH, HISTORY, LASTMODIFIED and STATUS (docs/reference/protocol.md, section 4)."""

from __future__ import annotations

from collections.abc import Mapping

from apiv3.model.collections import Collection
from apiv3.model.errors import Gone, NotFound
from apiv3.model.queries import Query
from apiv3.security.permissions import Demand
from apiv3.security.principal import Principal
from apiv3.storage.contracts import DocumentStore, LargeDocument, LargePage, Page, Stored

_ACTIONS = ("create", "read", "update", "delete")


class Reading:
    """The operations that change nothing."""

    def __init__(self, store: DocumentStore, collections: Mapping[str, Collection]) -> None:
        self._store, self._collections = store, collections

    async def read(self, who: Principal, collection: Collection, identifier: str) -> Stored | LargeDocument:
        """Return a document. Raises MissingPermission, NotFound, Gone, ServerBusy."""
        demand = Demand.of("api", collection.name, "read")
        if not who.allows(demand):
            who.demand(demand.on(identifier))
        stored: Stored | LargeDocument | None = await self._store.get(collection.name, identifier)
        if isinstance(stored, Stored) and stored.is_large:
            stored = await self._store.get_large(collection.name, identifier, who.name or "")
        if stored is None:
            raise NotFound
        if not stored.valid:
            raise Gone
        return stored

    async def search(self, who: Principal, collection: Collection, query: Query) -> Page | LargePage:
        """Return the documents that match a query, without deleted ones.

        Raises MissingPermission, AnswerTooLarge, TooMuchWork, ServerBusy.
        """
        who.demand(Demand.listing(collection))
        return await self._store.search(collection.name, query, who.name or "")

    async def history(self, who: Principal, collection: Collection, since: int, limit: int) -> Page | LargePage:
        """Return documents that changed after `since` (ms, exclusive), with deleted ones; fewer than `limit` if they are large.

        Raises MissingPermission, ServerBusy.
        """
        who.demand(Demand.listing(collection))
        return await self._store.history(collection.name, since, limit, who.name or "")

    async def last_modified(self, who: Principal) -> Mapping[str, int]:
        """Return collection -> time of its last change in ms, for those that are not empty and that the caller may read."""
        fields = {
            name: collection.clock_field
            for name, collection in self._collections.items()
            if who.allows(Demand.of("api", name, "read"))
        }
        return await self._store.last_modified(fields)

    def rights(self, who: Principal) -> Mapping[str, str]:
        """Return collection -> the first letters of the actions that the caller may perform there, out of `crud`."""
        return {
            name: "".join(action[0] for action in _ACTIONS if who.allows(Demand.of("api", name, action)))
            for name in self._collections
        }
