"""Every permission that the server demands anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from apiv3.model.collections import Collection
from apiv3.security.permissions import Demand

ACTIONS = ("create", "read", "update", "delete")
"""The actions on the documents of a collection."""
ACKNOWLEDGE = Demand.of("notifications", "*", "ack")
"""The permission to silence alarms."""


def every(collections: Iterable[Collection]) -> tuple[Demand, ...]:
    """Return all demands of a server with these collections, sorted by name."""
    return tuple(sorted({*_on_documents(collections), *_on_administration(), ACKNOWLEDGE}, key=lambda demand: demand.name))


def _on_documents(collections: Iterable[Collection]) -> Iterator[Demand]:
    for collection in collections:
        yield from (Demand.of("api", collection.name, action) for action in ACTIONS)
        yield Demand.listing(collection)


def _on_administration() -> Iterator[Demand]:
    for kind, actions in (
        ("subjects", ACTIONS),
        ("roles", ("create", "list", "update", "delete")),
        ("users", ACTIONS),
        ("permissions", ("read",)),
    ):
        yield from (Demand.of("admin", "api", kind, action) for action in actions)
