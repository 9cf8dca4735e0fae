"""What a client asks of a collection: filters, an order, a window and a choice of fields, as frozen values.

Comparison is by type, as in document databases (docs/reference/protocol.md, section 4): `gt 5` never matches a text, `ne`
matches a document without the field, a field that holds a list matches when any of its elements does.
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
        test, operand = _TESTS[self.operator], self._operand
        found = any(test(candidate, operand) for candidate in candidates(document, self.path))
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
    compiled: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)
    """What the storage made of it, for as long as it is kept."""


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


def candidates(document: Any, path: Path) -> Iterator[Any]:
    """The values that a dotted path reaches: through objects, through the objects in lists, and a list's own elements.

    A value that several ways lead to, by a place of a list and by the objects in it, is visited once: otherwise each level
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
    """What is called `name` in an object, or in the objects of a list; and the element at the place with that number."""
    if isinstance(node, dict):
        return (node[name],) if name in node else ()
    if not isinstance(node, list):
        return ()
    found = [element[name] for element in node if isinstance(element, dict) and name in element]
    if name.isdecimal() and int(name[:9]) < len(node):
        found.append(node[int(name[:9])])
    return found


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


def _choices(values: Iterable[Scalar]) -> frozenset[tuple[bool, Scalar]]:
    """Values as a set, in which a boolean is not the number that Python takes it for."""
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
