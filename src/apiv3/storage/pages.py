"""SEARCH and HISTORY: read small, fast results as a single text; stream all others row by row, in turn, within limits."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

import orjson

from apiv3.model.errors import AnswerTooLarge
from apiv3.model.queries import Filter, Query
from apiv3.storage.contracts import SMALL, WHOLE, LargePage, Page, Window
from apiv3.storage.database import Database
from apiv3.storage.dialects import Row
from apiv3.storage.selects import LISTED, Select, select
from apiv3.turns import ANSWERS, Effort, paced

REMEMBERED, MOST_REMEMBERED = 5.0, 1000
"""Seconds for which the server remembers that a caller's last result in a collection was large, and the most it remembers."""
_HISTORY = """SELECT body, id, srv_modified FROM documents WHERE collection = ? AND srv_modified > ?
    ORDER BY srv_modified LIMIT ?"""


class _Found(NamedTuple):
    """A document as JSON text, and its `srvModified` (ms) for HISTORY."""

    body: bytes
    srv_modified: int = 0


class Pages:
    """Runs the searches of a DocumentStore: SEARCH and HISTORY."""

    def __init__(self, database: Database) -> None:
        self._database, self._dialect = database, database.dialect
        sql = self._dialect.sql
        self._listed = sql(LISTED)
        self._large: dict[tuple[str, str], float] = {}
        """Collection and caller -> the time (monotonic clock) until which results are streamed without a quick attempt."""
        self._history, self._long_history = (
            sql(self._dialect.joined(_HISTORY, "srv_modified")),
            sql(self._dialect.streamed(_HISTORY)),
        )

    async def history(self, collection: str, since: int, limit: int, caller: str = "") -> Page | LargePage:
        args = (collection, since, limit)
        if not self._is_known_as_large(collection, caller):
            rows = await self._database.fetch_quick(self._history, *args)
            if rows is not None:
                return Page(_text_of(rows), rows[-1][1] or 0 if rows else 0)
            self._remember(collection, caller)
        return await self._gather(self._stream(self._long_history, args, caller), caller, Window(whole=False))

    async def search(self, collection: str, query: Query, caller: str = "", window: Window = WHOLE) -> Page | LargePage:
        chosen = select(collection, query, self._dialect)
        page = await self._find(collection, chosen, query, caller, window)
        if chosen.unless_listed and page == Page(b"") and await self._database.fetch(self._listed, collection):
            page = await self._find(
                collection, select(collection, query, self._dialect, into_lists=True), query, caller, window
            )
        return page

    def _is_known_as_large(self, collection: str, caller: str) -> bool:
        """Whether a quick attempt has failed a moment ago, so that another one would only block the event loop."""
        return bool(self._large) and self._large.get((collection, caller), 0.0) > time.monotonic()

    def _remember(self, collection: str, caller: str) -> None:
        if len(self._large) == MOST_REMEMBERED:
            self._large.clear()
        self._large[collection, caller] = time.monotonic() + REMEMBERED

    async def _find(self, collection: str, select: Select, query: Query, caller: str, window: Window) -> Page | LargePage:
        if select.quick and not self._is_known_as_large(collection, caller):
            rows = await self._database.fetch_quick(select.quick, *select.args)
            if rows is not None:
                return Page(_text_of(rows))
            self._remember(collection, caller)
        found = self._scan(select, query, caller) if select.rest else self._stream(select.sql, select.args, caller)
        return await self._gather(found, caller, window)

    async def _gather(self, found: AsyncGenerator[_Found, None], caller: str, window: Window) -> Page | LargePage:
        """Collect documents in a page. Raises AnswerTooLarge, ServerBusy."""
        bodies, size, last, cut = deque[bytes](), 0, 0, False
        async with aclosing(found), ANSWERS.take(caller, window.most) as hold:
            async for body, srv_modified in found:
                size += len(body) + 1
                if size > window.most and (window.whole or bodies):
                    if window.whole:
                        raise AnswerTooLarge
                    cut = True
                    break
                bodies.append(body)
                last = srv_modified
            if size <= SMALL:
                return Page(b",".join(bodies), last)
            return LargePage(bodies, last, hold.keep(), cut)

    async def _stream(self, sql: str, args: Sequence[Any], caller: str) -> AsyncGenerator[_Found, None]:
        async with aclosing(self._database.stream(sql, *args, caller=caller)) as chunks:
            async for rows in chunks:
                for body, _, *others in rows:
                    yield _Found(body, *others)

    async def _scan(self, select: Select, query: Query, caller: str) -> AsyncGenerator[_Found, None]:
        """Search with filters that SQL cannot evaluate: read rows in chunks, and check each until enough documents match."""
        effort, number = Effort(), 0
        async with aclosing(self._database.stream(select.sql, *select.args, caller=caller)) as chunks:
            async for rows in chunks:
                async for some in paced(caller, _matching([row[0] for row in rows], select.rest), effort):
                    for body in filter(None, some):
                        number += 1
                        if number > query.skip:
                            yield _Found(body)
                        if number == query.skip + query.limit:
                            return


def _matching(bodies: Sequence[bytes], filters: Sequence[Filter]) -> Iterator[bytes | None]:
    """Yield the documents that match, and None after each step, so that the work can be interrupted there."""
    for body in bodies:
        document = orjson.loads(body)
        for condition in filters:
            if not condition.matches(document):
                break
            yield None
        else:
            yield body
        yield None


def _text_of(rows: Sequence[Row]) -> bytes:
    """Return the first columns of the rows, which are bodies, with commas between them."""
    if len(rows) == 1 and isinstance(rows[0][0], bytes):
        return rows[0][0]
    return ",".join([row[0] for row in rows if row[0]]).encode()
