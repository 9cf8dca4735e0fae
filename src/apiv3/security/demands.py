"""Every permission that the server demands anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from apiv3.model.collections import Collection
from apiv3.security.permissions import Demand

ACTIONS = ("create", "read", "update", "delete")
"""The actions on the documents of a collection."""
ACKNOWLEDGE = Demand.of("notifications", "*", "ack")
"""The permission to silence alarms."""
COMMAND = Demand.of("admin", "hub", "devices", "command")
"""The permission to give commands to devices."""
LOGINS = Demand.of("admin", "bus", "logins", "read")
"""The permission to hear who is signed in. It has four parts, so that `*:*:read` does not include it."""
UPDATES = Demand.of("admin", "hub", "updates", "read")
"""The permission to read the repository of software updates."""

_ADMINISTRATION = {
    "subjects": ACTIONS,
    "roles": ("create", "list", "update", "delete"),
    "users": ACTIONS,
    "clients": ACTIONS,
    "devices": ACTIONS,
    "sessions": ("read", "delete"),
    "failures": ("read",),
    "audit": ("read",),
    "state": ("read",),
    "permissions": ("read",),
}


def every(collections: Iterable[Collection]) -> tuple[Demand, ...]:
    """Return all demands of a server with these collections, sorted by name."""
    found = {*_on_documents(collections), *_on_administration(), ACKNOWLEDGE, COMMAND, LOGINS, UPDATES}
    return tuple(sorted(found, key=lambda demand: demand.name))


def _on_documents(collections: Iterable[Collection]) -> Iterator[Demand]:
    for collection in collections:
        yield from (Demand.of("api", collection.name, action) for action in ACTIONS)
        yield Demand.listing(collection)


def _on_administration() -> Iterator[Demand]:
    for kind, actions in _ADMINISTRATION.items():
        yield from (administration(kind, action) for action in actions)


def administration(kind: str, action: str) -> Demand:
    """Return the permission for an action of administration, such as `admin:api:users:create`. Raises KeyError for others."""
    if action not in _ADMINISTRATION[kind]:
        raise KeyError(action)
    return Demand.of("admin", "api", kind, action)
