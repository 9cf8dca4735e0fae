"""Find documents that are requested at the same time with one query."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from apiv3.storage.contracts import Stored

Find = Callable[[str, Sequence[str]], Awaitable[Mapping[str, Stored]]]
"""Takes a collection's name and identifiers; returns the documents that exist, by identifier."""
Asked = tuple[str, asyncio.Future[Stored | None]]
MOST = 64
"""Most documents that one query looks for."""


class Gathering:
    """Collects the calls of one turn of the event loop and answers them with one query.

    With a database that is a round trip away, looking for many documents takes hardly longer than looking for one.
    """

    def __init__(self, find: Find) -> None:
        self._find = find
        self._asked: dict[str, list[Asked]] = {}
        self._queries = set[asyncio.Task[None]]()

    async def get(self, collection: str, identifier: str) -> Stored | None:
        """Return the document as it is when the query runs, after this call; None if there is none. Raises as `find` does."""
        asked = self._asked.get(collection)
        if asked is None or len(asked) == MOST:
            asked = self._asked[collection] = []
            # A separate task starts after this turn, and is not cancelled together with one of the callers.
            query = asyncio.create_task(self._query(collection, asked))
            self._queries.add(query)
            query.add_done_callback(self._queries.discard)
        answer: asyncio.Future[Stored | None] = asyncio.get_running_loop().create_future()
        asked.append((identifier, answer))
        return await answer

    async def _query(self, collection: str, asked: list[Asked]) -> None:
        if self._asked.get(collection) is asked:
            del self._asked[collection]
        try:
            found = await self._find(collection, [identifier for identifier, _ in asked])
        except Exception as error:
            for _, answer in asked:
                if not answer.done():
                    answer.set_exception(error)
        else:
            for identifier, answer in asked:
                if not answer.done():
                    answer.set_result(found.get(identifier))
