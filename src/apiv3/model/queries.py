"""Queries as frozen values: filters, order, limits and fields to show.

Values are compared by type, as in document databases (docs/reference/protocol.md, section 4): `gt 5` never matches a text, `ne`
matches a document without the field, and a field with a list matches if any of its elements does.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    _operand: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        operand = _choices(self.value) if self.operator in ("in", "nin") else self.value
        object.__setattr__(self, "_operand", operand)

    def matches(self, document: Mapping[str, Any]) -> bool:
        """Whether a document meets the condition."""
        test, operand = _TESTS[self.operator], self._operand
        found = any(test(candidate, operand) for candidate in candidates(document, self.path))
        return found != (self.operator in NEGATIVE)


@dataclass(frozen=True, slots=True)
class Sort:
    """An order by one field. `path`: the dotted field name in parts."""

    path: Path
    descending: bool = False


@dataclass(frozen=True, eq=False)
class Query:
    """A SEARCH: documents that match all `filters`, sorted by `sort` (None: by identifier), `limit` of them after `skip`."""

    filters: tuple[Filter, ...] = ()
    sort: Sort | None = None
    limit: int = 1000
    skip: int = 0
    compiled: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)
    """A cache of the storage for the compiled query."""


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields to show. Without paths: all fields."""

    paths: tuple[Path, ...] = ()
    _tree: dict[str, Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tree", _tree(self.paths))

    def __bool__(self) -> bool:
        return bool(self.paths)

    def project(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return a document with only these fields, in its own order."""
        return _project(document, self._tree)


def candidates(document: Any, path: Path) -> Iterator[Any]:
    """Yield the values at a dotted path: through objects and the objects in lists, and the elements of a list at its end.

    A value that can be reached in several ways, by its index in a list and by its name, is visited once. Otherwise each level
    of lists could double the work.
    """
    nodes = [document]
    for name in path:
        nodes = [node for parent in nodes for node in _below(parent, name)]
        if len(nodes) > 1:
            nodes = list({id(node): node for node in nodes}.values())
    for node in nodes:
        yield node
        if isinstance(node, list):
            yield from node


def _below(node: Any, name: str) -> Sequence[Any]:
    """Return the values named `name` in an object or in the objects of a list, and the element of a list with that index."""
    if isinstance(node, dict):
        return (node[name],) if name in node else ()
    if not isinstance(node, list):
        return ()
    found = [element[name] for element in node if isinstance(element, dict) and name in element]
    if name.isdecimal() and int(name[:9]) < len(node):
        found.append(node[int(name[:9])])
    return found


def _comparable(one: Any, other: Any) -> bool:
    """Whether both values are numbers, both are texts, or both are booleans."""
    if isinstance(one, bool) or isinstance(other, bool):
        return isinstance(one, bool) and isinstance(other, bool)
    return (isinstance(one, str) and isinstance(other, str)) or (
        isinstance(one, int | float) and isinstance(other, int | float)
    )


def _compare(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    return lambda candidate, value: _comparable(candidate, value) and test(candidate, value)


_equal = _compare(operator.eq)


def _choices(values: Iterable[Scalar]) -> frozenset[tuple[bool, Scalar]]:
    """Return values as a set in which True differs from 1, which Python considers equal."""
    return frozenset((isinstance(value, bool), value) for value in values)


def _among(candidate: Any, choices: frozenset[tuple[bool, Scalar]]) -> bool:
    return isinstance(candidate, str | int | float) and (isinstance(candidate, bool), candidate) in choices


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
    """Return paths as a tree of names. An empty branch includes everything below it."""
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
