"""What an operation did, for whoever tells the client."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Written:
    """A document was stored. `srv_modified`: ms.

    `created`: it is new. `deduplicated`: it replaced one that was found to be the same; `former` is that one's identifier.
    `told`: whether the caller may know `srv_modified`, which is that of a document of others if it stayed as it was.
    """

    identifier: str
    srv_modified: int
    created: bool = False
    deduplicated: bool = False
    former: str | None = None
    told: bool = True
