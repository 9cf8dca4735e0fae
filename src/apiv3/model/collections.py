"""The table of collections: the fields that identify duplicates, and the permission to list them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_NAME = re.compile(r"[a-z][a-z0-9_]{0,49}", re.ASCII)
_TAKEN = frozenset({"version", "status", "lastmodified", "events", "openapi", "bulk", "history", "policy", "hub", "logins"})
"""Names of routes, and of the clock of the policy."""


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection.

    `fallback`: the fields that together identify a stored document without an identifier of its own; empty: none do.
    `clock_field`: the field that /lastModified considers besides `srvModified`; None: no other field. `list_action`: the action
    of the permission for SEARCH and HISTORY.
    """

    name: str
    fallback: tuple[str, ...] = ()
    clock_field: str | None = "created_at"
    list_action: str = "read"

    @property
    def fallback_kind(self) -> type[int] | type[str]:
        """The type of the first fallback field, by which duplicates are looked up."""
        return int if self.fallback[:1] == ("date",) else str


STANDARD = (
    Collection("devicestatus", fallback=("created_at", "device")),
    Collection("entries", fallback=("date", "type"), clock_field="date"),
    Collection("food", fallback=("created_at",)),
    Collection("profile", fallback=("created_at",)),
    Collection("settings", clock_field=None, list_action="admin"),
    Collection("treatments", fallback=("created_at", "eventType")),
)


def table(extra: Iterable[str] = ()) -> Mapping[str, Collection]:
    """Return name -> collection: the six of the protocol and the `extra` ones of this installation.

    Raises ValueError when an extra name is malformed or in use.
    """
    collections = {collection.name: collection for collection in STANDARD}
    for name in extra:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a collection (lower-case letters, digits, _)")
        if name in collections or name in _TAKEN:
            raise ValueError(f"{name!r} is taken")
        collections[name] = Collection(name)
    return collections
