"""The interfaces of storage for accounts, failed sign-ins and the audit trail."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from apiv3.model.accounts import Account, Person
from apiv3.model.audit import Entry, Order, Page, Search
from apiv3.storage.contracts import PolicyWriter
from apiv3.storage.contracts.sessions import SessionWriter


class AccountFinder(Protocol):
    """Finds people who have an account, inside a transaction or outside."""

    async def find(self, id: str) -> Person | None:
        """Return the person with this id."""

    async def find_email(self, key: str) -> Person | None:
        """Return the person whose e-mail address has this key."""

    async def find_invitation(self, digest: str) -> Person | None:
        """Return the person whose invitation has a code with this digest, whether the invitation is still valid or not."""


class AccountWriter(AccountFinder, Protocol):
    """Changes accounts inside a writing transaction. `policy` writes subjects and roles, `sessions` writes sessions."""

    @property
    def policy(self) -> PolicyWriter: ...

    @property
    def sessions(self) -> SessionWriter: ...

    async def put(self, person: Person) -> None:
        """Store the subject and the account of a person."""

    async def remove(self, id: str) -> None:
        """Remove the subject and the account of a person."""


class AccountStore(AccountFinder, Protocol):
    """The accounts of all people."""

    async def all(self) -> Sequence[Person]:
        """Return all people who have an account, in the order of their e-mail addresses."""

    async def renew(self, account: Account, password: str) -> None:
        """Replace the password's hash by another one of the same password, unless it has changed meanwhile."""

    def changing(self) -> AbstractAsyncContextManager[AccountWriter]:
        """Begin a transaction, one at a time among all processes; its commit makes a new revision of subjects and roles."""


class FailureStore(Protocol):
    """Counts failed sign-ins for all processes. The names are digests, which reveal nobody."""

    async def count(self, names: Sequence[str], since: int) -> int:
        """Return the greatest count among the names. Counts whose last failure was before `since` (ms) are deleted."""

    async def forget(self, name: str) -> None:
        """Delete the count of a name."""

    async def failed(self, names: Sequence[str], since: int, entry: Entry) -> None:
        """Count one more failure of each name, and add an entry to the audit trail."""


class AuditStore(Protocol):
    """The audit trail."""

    async def find(self, search: Search) -> Sequence[Entry]:
        """Return all entries that match, oldest first."""

    async def page(self, search: Search, order: Order, skip: int, limit: int, *, descending: bool) -> Page:
        """Return at most `limit` of the entries that match, after the first `skip` of them."""

    async def prune(self, before: int, limit: int) -> int:
        """Remove up to `limit` entries older than `before` (ms), and return how many. The database refuses younger ones."""
