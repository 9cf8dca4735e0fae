"""Documents that are asked for at the same time, found with one query."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from apiv3.storage.contracts import Stored

Find = Callable[[str, Sequence[str]], Awaitable[Mapping[str, Stored]]]
"""Takes a collection's name and identifiers; gives those documents that there are, by identifier."""
Asked = tuple[str, asyncio.Future[Stored | None]]
MOST = 64
"""Documents that one query looks for."""


class Gathering:
    """Gathers whoever asks during one turn of the event loop, and asks for them all at its end.

    For a database that is a round trip away: looking for many documents takes hardly longer than looking for one.
    """

    def __init__(self, find: Find) -> None:
        self._find = find
        self._asked: dict[str, list[Asked]] = {}
        self._queries = set[asyncio.Task[None]]()

    async def get(self, collection: str, identifier: str) -> Stored | None:
        """The document as it is when the query runs, after this call; None if there is none. Raises what `find` raises."""
        asked = self._asked.get(collection)
        if asked is None or len(asked) == MOST:
            asked = self._asked[collection] = []
            # A task of its own, which begins when this turn is over, and which no caller takes along when it goes away.
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
