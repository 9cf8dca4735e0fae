"""Read the audit trail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from apiv3.model.audit import Entry, Order, Page, Search
from apiv3.security.authors import Author
from apiv3.security.demands import administration
from apiv3.storage.contracts.accounts import AuditStore

READ = administration("audit", "read")
READ_FAILURES = administration("failures", "read")


class Trail:
    """The audit trail, for those who may read it. Every method raises MissingPermission, StorageUnavailable."""

    def __init__(self, store: AuditStore) -> None:
        self._store = store

    async def find(self, search: Search, by: Author) -> Sequence[Entry]:
        """Return all entries that are wanted, oldest first."""
        by.principal.demand(READ)
        return await self._store.find(search)

    async def page(
        self, search: Search, by: Author, order: Order = "time", skip: int = 0, limit: int = 50, *, descending: bool = True
    ) -> Page:
        """Return at most `limit` of the entries that are wanted, after the first `skip` of them."""
        by.principal.demand(READ)
        return await self._store.page(search, order, skip, limit, descending=descending)

    async def failures(
        self, search: Search, by: Author, order: Order = "time", skip: int = 0, limit: int = 50, *, descending: bool = True
    ) -> Page:
        """Return failed sign-ins in the same way."""
        by.principal.demand(READ_FAILURES)
        wanted = replace(search, action="sign-in", outcome="failure")
        return await self._store.page(wanted, order, skip, limit, descending=descending)
