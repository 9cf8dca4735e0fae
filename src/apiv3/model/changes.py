"""Changes of documents as followers receive them, clocks and cursors.

A collection is a log sorted by `srvModified`: each document is at its last change, and each document that was removed for good
has a tombstone at its removal.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["create", "update", "delete", "reset"]


class Change(NamedTuple):
    """A change. `body`: the document as JSON text; None for one that was removed for good, and for a large one, which is read
    when it is sent (`Feed.large`).

    Kinds: `create`: the document was created after the follower's position. `delete`: it was marked as deleted, or removed.
    `reset`: the follower must discard its documents of the collection, and all existing ones follow; it names no document.
    """

    collection: str
    kind: Kind
    identifier: str
    body: str | None
    srv_modified: int

    @property
    def is_large(self) -> bool:
        """Whether the document was left out, since it is large."""
        return self.body is None and self.kind in ("create", "update")

    @property
    def size(self) -> int:
        """Characters of the document."""
        return len(self.body or "")


class Clock(NamedTuple):
    """The clock of a collection, in ms. `last`: the greatest `srvModified`. `forgotten`: that of the last deleted tombstone."""

    last: int
    forgotten: int = 0


class Cursor(NamedTuple):
    """The position of a follower: it has every change up to `position`, in ms.

    `removals`: it needs no removals up to here, which may be ahead of `position`: a follower that began without documents has
    none that were removed before.
    """

    position: int
    removals: int = 0

    def is_lost(self, clock: Clock) -> bool:
        """Whether tombstones that the follower needs were deleted, or the collection went back (a backup was restored)."""
        return clock.forgotten > max(self) or self.position > clock.last
