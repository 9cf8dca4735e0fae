"""Tables of pages: sorted, searched and cut into pages, by the parameters `search`, `sort` and `page` of their address."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Self, TypeVar
from urllib.parse import urlencode

from apiv3.web.calls import Call

T = TypeVar("T")

ROWS = 50
"""Most rows of a page."""


@dataclass(frozen=True)
class Column(Generic[T]):
    """A column. `name`: in the address. `key`: the value that rows are sorted and searched by; None: neither."""

    name: str
    title: str
    key: Callable[[T], Any] | None = None


@dataclass(frozen=True)
class Listing(Generic[T]):
    """What a table shows. `order`: the name of a column, after `-` for descending; `usual`: the order without a parameter.
    `others`: further parameters, such as filters, which links keep. `rows`: of this page; `total`: how many all pages have.
    """

    path: str
    columns: Sequence[Column[T]]
    usual: str
    order: str
    search: str = ""
    page: int = 1
    others: tuple[tuple[str, str], ...] = ()
    rows: Sequence[T] = ()
    total: int = 0

    @classmethod
    def of(cls, call: Call, columns: Sequence[Column[T]], usual: str, others: Sequence[str] = ()) -> Self:
        """Return what the address asks for, still without rows; those of a database are added with `dataclasses.replace`.

        A parameter that makes no sense counts as missing. Raises BadRequest for a repeated one.
        """
        order, page = call.query.one("sort") or usual, call.query.one("page") or ""
        if order.removeprefix("-") not in {each.name for each in columns if each.key}:
            order = usual
        number = int(page) if page.isascii() and page.isdigit() and len(page) < 10 else 1
        kept = tuple((name, value) for name in others if (value := call.query.one(name)))
        search = (call.query.one("search") or "").strip()
        return cls(call.path.decode("ascii"), columns, usual, order, search, max(1, number), kept)

    def among(self, rows: Iterable[T]) -> Self:
        """Return the listing with its part of rows that are in memory: found, sorted, and cut to a page that there is."""
        keys = {each.name: each.key for each in self.columns if each.key}
        sought = self.search.casefold()
        found = [row for row in rows if not sought or any(sought in str(key(row)).casefold() for key in keys.values())]
        key = keys[self.sort]
        found.sort(key=lambda row: _sortable(key(row)), reverse=self.descending)
        page = min(self.page, max(1, -(-len(found) // ROWS)))
        return replace(self, page=page, rows=found[(page - 1) * ROWS : page * ROWS], total=len(found))

    @property
    def sort(self) -> str:
        """The name of the column that the rows are sorted by."""
        return self.order.removeprefix("-")

    @property
    def descending(self) -> bool:
        """Whether the greatest comes first."""
        return self.order.startswith("-")

    @property
    def pages(self) -> int:
        """The number of pages, at least 1."""
        return max(1, -(-self.total // ROWS))

    def turned(self, name: str) -> str:
        """Return the order that a click on a column's head asks for: ascending, and at the second click descending."""
        return f"-{name}" if self.order == name else name

    def kept(self, **changed: str | int) -> Iterator[tuple[str, str]]:
        """Yield the parameters of this table with some of them changed, without those that say nothing."""
        yield from self.others
        now = {"search": self.search, "sort": self.order, "page": self.page} | changed
        silent = {"search": "", "sort": self.usual, "page": 1}
        yield from ((name, str(value)) for name, value in now.items() if value != silent[name])

    def link(self, **changed: str | int) -> str:
        """Return the address of this table with some of its parameters changed."""
        query = urlencode(list(self.kept(**changed)))
        return f"{self.path}?{query}" if query else self.path


def _sortable(value: Any) -> tuple[bool, Any]:
    """Return a key that sorts texts without regard to case, and puts what is missing first."""
    return (value is not None, value.casefold() if isinstance(value, str) else value)
