"""What the rest of the server may ask of the storage of sessions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from apiv3.model.audit import Entry
from apiv3.model.logins import Reason
from apiv3.model.sessions import Limits, Session
from apiv3.storage.contracts.logins import LoginWriter


class SessionWriter(Protocol):
    """Sessions inside a writing transaction. `logins`: those that need no session."""

    @property
    def logins(self) -> LoginWriter: ...

    async def begin(self, session: Session, expires: int) -> None:
        """Store a new session, with which a login begins. `expires`: when it ends at the latest, ms since 1970."""

    async def end(self, subject: str, ids: Collection[str], reason: Reason) -> Sequence[Session]:
        """End sessions of a subject, which makes a new revision. Returns those that had not ended before."""

    async def note(self, entry: Entry) -> None:
        """Add an entry to the audit trail."""


class SessionStore(Protocol):
    """Sessions, and the nonces that were used."""

    async def find(self, digest: str) -> tuple[int, Session | None]:
        """Return the session with a value of this digest, unless it was ended; before it the revision at that moment."""

    async def ended(self, since: int) -> tuple[int, Sequence[str]]:
        """Return the newest revision, and the ids of the sessions that were ended after the revision `since`."""

    async def of(self, subject: str) -> Sequence[Session]:
        """Return the sessions of a subject that were not ended, the newest first."""

    async def all(self) -> Sequence[Session]:
        """Return the sessions of everybody that were not ended."""

    async def saw(self, moments: Mapping[str, int]) -> None:
        """Store when the people of some sessions last did something: id -> ms since 1970."""

    async def prune(self, limits: Limits, now: int) -> None:
        """Delete the sessions that have reached a limit, and the nonces that have expired. `now`: ms since 1970."""

    async def expire(self, limits: Limits, now: int) -> None:
        """End the sessions that have reached a limit. `now`: ms since 1970."""

    async def use(self, nonce: str, expires: int) -> bool:
        """Return whether the nonce with this digest is used for the first time. It is remembered until `expires` (ms)."""

    def changing(self) -> AbstractAsyncContextManager[SessionWriter]:
        """Begin a transaction on sessions."""
