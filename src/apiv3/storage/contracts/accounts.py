"""What the rest of the server may ask of the storage of accounts and of the audit trail."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from apiv3.model.accounts import Account, Person
from apiv3.model.audit import Entry, Page, Search
from apiv3.storage.contracts import PolicyWriter
from apiv3.storage.contracts.sessions import SessionWriter


class AccountWriter(Protocol):
    """Accounts inside a writing transaction over subjects and roles, which `policy` writes."""

    @property
    def policy(self) -> PolicyWriter: ...

    @property
    def sessions(self) -> SessionWriter: ...

    async def find(self, id: str) -> Person | None: ...

    async def find_email(self, key: str) -> Person | None: ...

    async def find_invitation(self, digest: str) -> Person | None: ...

    async def put(self, person: Person) -> None:
        """Store both halves of a person: the subject and the account."""

    async def remove(self, id: str) -> None:
        """Remove both halves."""


class AccountStore(Protocol):
    async def all(self) -> Sequence[Person]:
        """Everybody who has an account, by address."""

    async def find(self, id: str) -> Person | None: ...

    async def find_email(self, key: str) -> Person | None:
        """By the key of an e-mail address."""

    async def find_invitation(self, digest: str) -> Person | None:
        """By the digest of an invitation's code, good or not."""

    async def renew(self, account: Account, password: str) -> None:
        """Replace the password's hash by another one of the same password, unless it has changed meanwhile."""

    def changing(self) -> AbstractAsyncContextManager[AccountWriter]:
        """A transaction, one at a time over all processes; its end makes a new revision of subjects and roles."""


class FailureStore(Protocol):
    """Failed sign-ins, counted over all processes by names that nobody can read back."""

    async def count(self, names: Sequence[str], since: int) -> int:
        """The greatest of the names' numbers of failures; those whose last one was before `since` (ms) are forgotten."""

    async def forget(self, name: str) -> None:
        """Forget the failures of a name."""

    async def failed(self, names: Sequence[str], since: int, entry: Entry) -> None:
        """Count one more failure of each name, and add an entry to the audit trail."""


class AuditStore(Protocol):
    async def find(self, search: Search) -> Sequence[Entry]:
        """All entries that are wanted, oldest first."""

    async def page(self, search: Search, limit: int, before: int | None = None) -> Page:
        """At most `limit` of the entries that are wanted, newest first. `before`: the `next` of the page before."""

    async def prune(self, before: int, limit: int) -> int:
        """Remove up to `limit` entries older than `before` (ms), and return how many. The database refuses younger ones."""
