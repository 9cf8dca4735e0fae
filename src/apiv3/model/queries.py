"""What a client asks of a collection: filters, an order, a window and a choice of fields, as frozen values.

Comparison is by type, as in document databases (wire contract, section 4): `gt 5` never matches a text, `ne` matches a
document without the field, a field that holds a list matches when any of its elements does.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Scalar = str | int | float | bool
Path = tuple[str, ...]


class Pattern(Protocol):
    """A compiled regular expression."""

    def search(self, text: str, /) -> object | None: ...


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition: `Filter(("uploader", "battery"), "lt", 50)`.

    `path`: the dotted field name in parts. `operator`: eq ne gt gte lt lte in nin re. `value`: a scalar; a tuple of scalars
    for in and nin; a compiled Pattern for re.
    """

    path: Path
    operator: str
    value: Any

    def matches(self, document: Mapping[str, Any]) -> bool:
        test = _TESTS[self.operator]
        found = any(test(candidate, self.value) for candidate in candidates(document, self.path))
        return found != (self.operator in NEGATIVE)


@dataclass(frozen=True, slots=True)
class Sort:
    path: Path
    descending: bool = False


@dataclass(frozen=True, eq=False)
class Query:
    """A SEARCH: all `filters` hold, in the order of `sort` (None: by identifier), `limit` documents after `skip` ones."""

    filters: tuple[Filter, ...] = ()
    sort: Sort | None = None
    limit: int = 1000
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields to show; without paths, all of them."""

    paths: tuple[Path, ...] = ()
    _tree: dict[str, Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tree", _tree(self.paths))

    def __bool__(self) -> bool:
        return bool(self.paths)

    def project(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """A document with just these fields, as far as it has them, in its own order."""
        return _project(document, self._tree)


def candidates(node: Any, path: Path) -> Iterator[Any]:
    """The values that a dotted path reaches: through objects, through the objects in lists, and a list's own elements."""
    if not path:
        yield node
        if isinstance(node, list):
            yield from node
    elif isinstance(node, dict):
        if path[0] in node:
            yield from candidates(node[path[0]], path[1:])
    elif isinstance(node, list):
        yield from _candidates_in_list(node, path)


def _candidates_in_list(node: list[Any], path: Path) -> Iterator[Any]:
    if path[0].isdecimal() and int(path[0][:9]) < len(node):
        yield from candidates(node[int(path[0][:9])], path[1:])
    for element in node:
        if isinstance(element, dict):
            yield from candidates(element, path)


def _comparable(one: Any, other: Any) -> bool:
    """Whether both are of one kind: both numbers, both texts or both booleans."""
    if isinstance(one, bool) or isinstance(other, bool):
        return isinstance(one, bool) and isinstance(other, bool)
    return (isinstance(one, str) and isinstance(other, str)) or (
        isinstance(one, int | float) and isinstance(other, int | float)
    )


def _compare(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    return lambda candidate, value: _comparable(candidate, value) and test(candidate, value)


_equal = _compare(operator.eq)


def _among(candidate: Any, values: Sequence[Scalar]) -> bool:
    return any(_equal(candidate, value) for value in values)


def _matches_pattern(candidate: Any, pattern: Pattern) -> bool:
    return isinstance(candidate, str) and pattern.search(candidate) is not None


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": _equal,
    "ne": _equal,
    "gt": _compare(operator.gt),
    "gte": _compare(operator.ge),
    "lt": _compare(operator.lt),
    "lte": _compare(operator.le),
    "in": _among,
    "nin": _among,
    "re": _matches_pattern,
}
OPERATORS = frozenset(_TESTS)
NEGATIVE = frozenset({"ne", "nin"})


def _tree(paths: Sequence[Path]) -> dict[str, Any]:
    """Paths as a tree of names; an empty branch means all that is below."""
    tree: dict[str, Any] = {}
    for path in sorted(paths, key=len, reverse=True):
        node = tree
        for name in path[:-1]:
            node = node.setdefault(name, {})
        node[path[-1]] = {}
    return tree


def _project(document: Mapping[str, Any], tree: Mapping[str, Any]) -> dict[str, Any]:
    result = {}
    for name, value in document.items():
        if name not in tree:
            continue
        below = tree[name]
        if not below:
            result[name] = value
        elif isinstance(value, dict):
            result[name] = _project(value, below)
        elif isinstance(value, list):
            result[name] = [_project(element, below) for element in value if isinstance(element, dict)]
    return result
