"""Apache Shiro's wildcard permissions: parse a text, and tell whether one permission implies another.

Parts are split by `:`, alternatives within a part by `,`; `*` matches a whole part; parts that a grant leaves out at its end
are implied; letters' case does not matter (https://shiro.apache.org/permissions.html, seed "APIv3: Security").

A request's demand is a value of its own, built from parts and never parsed: so an identifier with colons, commas or capitals
in it is one literal part, and cannot be mistaken for anything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from apiv3.model.collections import Collection

_BLANKS = "".join(map(chr, range(0x21)))
LONGEST = 1000
"""Letters of a permission."""
MOST_PARTS = 4
"""Parts of a demand, the one for a document included."""
_ROOTS = frozenset({"api", "admin", "notifications"})
"""First parts of what is demanded."""
_NO_WORD = re.compile(r"[^\w*-]")
"""What cannot stand in a name of a collection, an action, or anything else that is demanded."""
_NO_DOCUMENT = re.compile(r"[\s;\"'`´‘’‚‛“”„‟«»‹›]|[^\x20-\U0010ffff]")
"""What is not taken in the identifier of a document, since it hardly ever stands in one, and in mistakes often."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What an operation asks for: three parts or so, and maybe the one document that it is about."""

    parts: tuple[str, ...]
    instance: str | None = None

    @staticmethod
    @lru_cache(maxsize=1024)
    def of(*parts: str) -> Demand:
        """The demand with these parts; there are few, so each is made once."""
        return Demand(parts)

    @classmethod
    def listing(cls, collection: Collection) -> Demand:
        """What SEARCH, HISTORY and hearing of changes ask for."""
        return cls.of("api", collection.name, collection.list_action)

    def on(self, instance: str) -> Demand:
        """The same demand for one document only."""
        return Demand(self.parts, instance)

    @property
    def name(self) -> str:
        """The permission as a refusal names it: without the document."""
        return ":".join(self.parts)


@dataclass(frozen=True, slots=True)
class Permission:
    """A wildcard permission: for each part its alternatives, in lower case; `exact` keeps the case as written."""

    parts: tuple[frozenset[str], ...]
    exact: tuple[frozenset[str], ...] = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> Permission:
        """Raises ValueError when there is nothing in the text, or a part of nothing but commas, or it is over-long."""
        text = text.strip(_BLANKS)
        if not text or len(text) > LONGEST:
            raise ValueError("a permission must not be empty" if not text else f"a permission has at most {LONGEST} letters")
        exact = tuple(_alternatives(part, text) for part in _split(text, ":"))
        if not exact:
            raise ValueError(f"the permission {text!r} has only dividers")
        return cls(tuple(frozenset(word.lower() for word in part) for part in exact), exact)

    def implies(self, other: Permission) -> bool:
        """Whether who holds this one holds the other one too."""
        return self._covers(other.parts)

    def satisfies(self, demand: Demand) -> bool:
        """Whether who holds this one may do what is demanded."""
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
    """The pieces between dividers, without the empty ones at the end: as the reference implementation splits."""
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
    """Raise ValueError for what is no permission, and for one that grants nothing because it was written in another syntax."""
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
    """The permissions in one text, with blanks or commas between them. A comma may stand inside of a permission as well.

    So it divides two of them only where a permission begins behind it. What is unclear stays in one piece, which is refused
    or grants less than its pieces.
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
    """Whether a piece is a permission of its own, not the rest of the one before it."""
    if ":" not in piece or "," not in divider:
        return ":" in piece
    root = piece.partition(":")[0].lower()
    return root in _ROOTS or before == "*" or before.count(":") + piece.count(":") >= MOST_PARTS


class PermissionSet:
    """All that a principal was granted. Answers to demands without a document are remembered: there are few of them."""

    def __init__(self, permissions: Iterable[Permission]) -> None:
        self.permissions = tuple(permissions)
        self._known: dict[tuple[str, ...], bool] = {}

    def implies(self, other: Permission) -> bool:
        """Whether one of the permissions implies another one."""
        return any(p.implies(other) for p in self.permissions)

    def satisfies(self, demand: Demand) -> bool:
        """Whether one of the permissions satisfies the demand. A right to all documents is one to each of them."""
        answer = self._known.get(demand.parts)
        if answer is None:
            base = Demand(demand.parts)
            answer = self._known[demand.parts] = any(p.satisfies(base) for p in self.permissions)
        if answer or demand.instance is None:
            return answer
        return any(p.satisfies(demand) for p in self.permissions)
