"""What happened to a document, as those hear of it who follow a collection.

A collection is a log: each of its documents stands at the `srvModified` of its last change, and what was removed for good
left a tombstone at the number that the removal took.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["create", "update", "delete", "reset"]


class Change(NamedTuple):
    """One change. `body`: the document as JSON text, ready to be sent; None for one that was removed for good.

    `create`: the document is younger than what the follower has seen. `delete`: it is marked as deleted, or gone. `reset`:
    whatever the follower holds of the collection is void, and everything that is there follows; it names no document.
    """

    collection: str
    kind: Kind
    identifier: str
    body: str | None
    srv_modified: int

    @property
    def size(self) -> int:
        """Characters of the document."""
        return len(self.body or "")


class Clock(NamedTuple):
    """How far a collection is, in ms. `last`: the greatest number taken. `forgotten`: that of the last lost tombstone."""

    last: int
    forgotten: int = 0


class Cursor(NamedTuple):
    """How far a follower is: it has every change up to `position`, in ms.

    `removals`: it knows of every removal up to there as well, though it may be ahead: whoever began with nothing holds
    nothing that was removed before.
    """

    position: int
    removals: int = 0

    def is_lost(self, clock: Clock) -> bool:
        """Whether removals were forgotten that the follower has not heard of, or the collection went back (a restored copy)."""
        return clock.forgotten > max(self) or self.position > clock.last
