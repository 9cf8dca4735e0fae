"""Apache Shiro's wildcard permissions: parse them, and decide whether one implies another.

`:` separates parts, `,` separates alternatives within a part, and `*` matches any part. Parts that a permission leaves out at
its end match anything. Case does not matter (https://shiro.apache.org/permissions.html, docs/reference/permissions.md).

What a request demands is a `Demand`, which is built from parts and never parsed. So an identifier that contains colons, commas
or capitals is one literal part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from apiv3.model.collections import Collection

_BLANKS = "".join(map(chr, range(0x21)))
LONGEST = 1000
"""Most characters of a permission."""
MOST_PARTS = 4
"""Most parts of a demand, the identifier of a document included."""
_ROOTS = frozenset({"api", "admin", "notifications"})
"""The first parts of all demands."""
_NO_WORD = re.compile(r"[^\w*-]")
"""Characters that occur in no part of a demand except the identifier of a document."""
_NO_DOCUMENT = re.compile(r"[\s;\"'`´‘’‚‛“”„‟«»‹›]|[^\x20-\U0010ffff]")
"""Characters refused in the part for a document's identifier: identifiers hardly ever contain them, mistakes often do."""


@dataclass(frozen=True, slots=True)
class Demand:
    """The permission that an operation requires: its parts, and the identifier of the document it is about, if any."""

    parts: tuple[str, ...]
    instance: str | None = None

    @staticmethod
    @lru_cache(maxsize=1024)
    def of(*parts: str) -> Demand:
        """Return the demand with these parts. There are few of them, so each is made only once."""
        return Demand(parts)

    @classmethod
    def listing(cls, collection: Collection) -> Demand:
        """Return the demand of SEARCH, HISTORY and event streams for a collection."""
        return cls.of("api", collection.name, collection.list_action)

    def on(self, instance: str) -> Demand:
        """Return the same demand for one document. `instance`: its identifier."""
        return Demand(self.parts, instance)

    @property
    def name(self) -> str:
        """The permission as refusals name it, without the document's identifier."""
        return ":".join(self.parts)


@dataclass(frozen=True, slots=True)
class Permission:
    """A wildcard permission. `parts`: the alternatives of each part, in lower case; `exact`: the same as written."""

    parts: tuple[frozenset[str], ...]
    exact: tuple[frozenset[str], ...] = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> Permission:
        """Parse a permission. Raises ValueError when it is empty, too long, or has a part that consists of commas only."""
        text = text.strip(_BLANKS)
        if not text or len(text) > LONGEST:
            raise ValueError("a permission must not be empty" if not text else f"a permission has at most {LONGEST} letters")
        exact = tuple(_alternatives(part, text) for part in _split(text, ":"))
        if not exact:
            raise ValueError(f"the permission {text!r} has only dividers")
        return cls(tuple(frozenset(word.lower() for word in part) for part in exact), exact)

    def implies(self, other: Permission) -> bool:
        """Whether this permission includes the other one."""
        return self._covers(other.parts)

    def satisfies(self, demand: Demand) -> bool:
        """Whether this permission allows what is demanded."""
        wanted = tuple(frozenset((part,)) for part in demand.parts)
        if demand.instance is None:
            return self._covers(wanted)
        place = len(wanted)
        if place < len(self.exact) and not {"*", demand.instance} & self.exact[place]:
            return False
        return self._covers(wanted + self.parts[place : place + 1])

    def _covers(self, wanted: tuple[frozenset[str], ...]) -> bool:
        for own, other in zip(self.parts, wanted, strict=False):
            if "*" not in own and not own >= other:
                return False
        return all("*" in own for own in self.parts[len(wanted) :])


def _split(text: str, divider: str) -> list[str]:
    """Split a text at the dividers and drop empty pieces at the end, as the reference implementation (Java) does."""
    pieces = text.split(divider)
    while len(pieces) > 1 and not pieces[-1]:
        pieces.pop()
    return pieces if pieces != [""] or not text else []


def _alternatives(part: str, text: str) -> frozenset[str]:
    words = _split(part, ",")
    if not words:
        raise ValueError(f"the permission {text!r} has a part of only dividers")
    return frozenset(words)


def check_meant(text: str) -> None:
    """Raise ValueError for a text that is no permission, or that grants nothing because it was written in another syntax."""
    Permission.parse(text)
    parts = text.strip(_BLANKS).split(":")
    for place, part in enumerate(parts):
        wrong = (_NO_DOCUMENT if place == MOST_PARTS - 1 else _NO_WORD).search(part.replace(",", ""))
        if wrong:
            raise ValueError(
                f"{wrong[0]!r} cannot stand in a permission; write its parts with colons between them, like api:entries:read, "
                "and give several permissions one by one"
            )
    if any(part not in ("*", "") for part in parts[MOST_PARTS:]):
        raise ValueError(f"a permission has at most {MOST_PARTS} parts; give several permissions one by one")


def split(text: str) -> list[str]:
    """Split a text into permissions at blanks and commas.

    A comma can also be part of a permission, so it separates two only where a new permission clearly begins behind it. An
    unclear text stays in one piece, which is then refused, or grants less than its pieces would.
    """
    first, *rest = re.split(r"([\s,]+)", text.strip(f",{_BLANKS}"))
    found = [first]
    for divider, piece in zip(rest[::2], rest[1::2], strict=True):
        if _begins(found[-1], divider, piece):
            found.append(piece)
        else:
            found[-1] += divider + piece
    return [each for each in found if each]


def _begins(before: str, divider: str, piece: str) -> bool:
    """Whether a piece begins a new permission, rather than continuing the one before it."""
    if ":" not in piece or "," not in divider:
        return ":" in piece
    root = piece.partition(":")[0].lower()
    return root in _ROOTS or before == "*" or before.count(":") + piece.count(":") >= MOST_PARTS


class PermissionSet:
    """All permissions of a principal. Decisions on demands without a document are cached, since there are few of them."""

    def __init__(self, permissions: Iterable[Permission]) -> None:
        self.permissions = tuple(permissions)
        self._known: dict[tuple[str, ...], bool] = {}

    def implies(self, other: Permission) -> bool:
        """Whether one of these permissions includes the other one."""
        return any(p.implies(other) for p in self.permissions)

    def satisfies(self, demand: Demand) -> bool:
        """Whether one of these permissions allows what is demanded. One for all documents covers each of them."""
        answer = self._known.get(demand.parts)
        if answer is None:
            base = Demand(demand.parts)
            answer = self._known[demand.parts] = any(p.satisfies(base) for p in self.permissions)
        if answer or demand.instance is None:
            return answer
        return any(p.satisfies(demand) for p in self.permissions)
