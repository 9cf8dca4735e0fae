"""What the rest of the server may ask of the storage of logins."""

from __future__ import annotations

from collections.abc import Collection, Sequence, Set
from typing import Protocol

from apiv3.model.logins import Event, Login, Position, Snapshot

LOGINS = "/logins"
"""Used for logins in place of a collection's name, as `contracts.ALARMS` is."""


class LoginWriter(Protocol):
    """Begins logins with the commit of a writing transaction."""

    def begin(self, login: Login) -> None:
        """Let a login begin. Nothing is told when its subject has gone, is disabled or has another nonce by then."""


class LoginStore(Protocol):
    """Logins, and the events that tell of them."""

    async def position(self) -> Position:
        """Return the position after the last event."""

    async def snapshot(self) -> Snapshot:
        """Return all logins that are open, at one moment."""

    async def after(self, position: Position, limit: int) -> Sequence[Event] | None:
        """Return at most `limit` events after a position, in the order of commits.

        None when there could be a gap: the position is of another epoch, or its event is not in the outbox.
        """

    async def overdue(self, moment: int, limit: int) -> Set[str]:
        """Return subjects with logins that should have ended by themselves before a moment (ms), from up to `limit` logins."""

    async def review(self, subjects: Collection[str] | None = None) -> None:
        """Tell what has changed for some subjects, or for anybody, and was not told. What has ended counts as expired."""

    async def begin_epoch(self) -> None:
        """Begin a new epoch, so that every follower begins with a snapshot."""

    async def prune(self, before: int, limit: int) -> int:
        """Delete up to `limit` events older than `before` (ms), but never the last one. Returns how many were deleted."""
