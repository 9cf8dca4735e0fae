"""The collections as a table: what makes two of their documents the same, and who may list them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_NAME = re.compile(r"[a-z][a-z0-9_]{0,49}", re.ASCII)
_TAKEN = frozenset({"version", "status", "lastmodified", "events", "openapi", "bulk", "history", "policy"})
"""Names of routes, and that of the clock that stands beside those of the collections."""


@dataclass(frozen=True, slots=True)
class Collection:
    """One kind of document.

    `fallback`: the fields that together identify a stored document which has no identifier of its own (empty: none do).
    `clock_field`: the field that counts beside `srvModified` for /lastModified (None: only `srvModified` does).
    `list_action`: the permission's action for SEARCH and HISTORY.
    """

    name: str
    fallback: tuple[str, ...] = ()
    clock_field: str | None = "created_at"
    list_action: str = "read"

    @property
    def fallback_kind(self) -> type[int] | type[str]:
        """The type of the first fallback field, by which such documents are looked for."""
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
    """Name -> collection: the six of the protocol and the `extra` ones of this installation.

    Raises ValueError when an extra name is malformed, or is taken.
    """
    collections = {collection.name: collection for collection in STANDARD}
    for name in extra:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a collection (lower-case letters, digits, _)")
        if name in collections or name in _TAKEN:
            raise ValueError(f"{name!r} is taken")
        collections[name] = Collection(name)
    return collections
