"""Many documents to a server over HTTP, by bulk requests; whatever happens to the connection, none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import httpx

from apiv3.client.errors import NoAnswer, Stranger, Unreachable, Untrusted, shown
from apiv3.client.http import LATER, Server, message, refusal

Document = Mapping[str, Any]

ATTEMPTS = 8
"""How often a request is sent before the server is gone."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds between two attempts: twice as long each time."""


class Result(NamedTuple):
    """What became of a document. `status`: 201 for a new one, 200 for one that is there already, else why it is refused.

    Of what is stored: its `identifier`, and `modified`, its `srvModified` in ms; 0 for one that was there already and that the
    token may not read. Of what is not: why, in words.
    """

    status: int
    identifier: str = ""
    modified: int = 0
    message: str | None = None
    description: str | None = None

    @property
    def is_stored(self) -> bool:
        return self.status in (200, 201)


class Uploader:
    """Sends documents that a server does not have yet; what it has stays as it is. Use it as `async with`.

    It waits for a server that has answered before; one that never did is not there. `tell`: is told in a few words what it
    waits for, each time.
    """

    def __init__(self, url: str, token: str, tell: Callable[[str], None] = lambda _: None) -> None:
        self._server, self._tell = Server(url, token), tell
        self._client = self._server.async_client()
        self._has_answered = False

    async def __aenter__(self) -> Uploader:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def send(self, collection: str, documents: Sequence[Document]) -> list[Result]:
        """The server's result for each document. Raises Refused, Unreachable."""
        answer = await self._patiently(collection, documents)
        if answer.status_code == 413 and len(documents) > 1:
            middle = len(documents) // 2
            return [*await self.send(collection, documents[:middle]), *await self.send(collection, documents[middle:])]
        if answer.status_code == 413:
            return [Result(413, message=message(answer))]
        if answer.status_code != 200:
            raise refusal(answer)
        return self._results(answer, len(documents))

    def _results(self, answer: httpx.Response, number: int) -> list[Result]:
        """What the server says of that many documents. Raises Unreachable where it is none that could."""
        try:
            results = [_result(each) for each in answer.json()["result"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Stranger(self._server.url) from None
        if len(results) != number:
            raise Stranger(self._server.url)
        return results

    async def _patiently(self, collection: str, documents: Sequence[Document]) -> httpx.Response:
        """The answer, whatever it says, once there is one that counts."""
        pause = SHORTEST_PAUSE
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._attempt(collection, documents)
            except _Later as later:
                self._tell(str(later))
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        return await self._attempt(collection, documents)

    async def _attempt(self, collection: str, documents: Sequence[Document]) -> httpx.Response:
        """An answer that counts. Raises Unreachable; the kind _Later where another attempt may help."""
        try:
            with self._server.failures():
                answer = await self._post(collection, documents)
        except NoAnswer as error:
            if self._has_answered and not isinstance(error, Untrusted):
                raise _Later(str(error)) from None
            raise
        self._has_answered = True
        if answer.status_code in LATER:
            raise _Later(f"{shown(self._server.url)} answers {answer.status_code}: {message(answer)}")
        return answer

    async def _post(self, collection: str, documents: Sequence[Document]) -> httpx.Response:
        path, headers = f"/api/v3/{collection}/bulk", self._server.headers()
        return await self._client.post(path, params={"keep": "true"}, headers=headers, json=list(documents))


class _Later(Unreachable):
    """The same request may find a server later."""


def _result(told: Any) -> Result:
    """One element of an answer. Raises ValueError where it is none of this server's."""
    match told:
        case {"status": 200 | 201 as status, "identifier": str(identifier)}:
            modified = told.get("lastModified", 0)
            if isinstance(modified, int):
                return Result(status, identifier, modified)
        case {"status": int(status)} if status >= 400:
            return Result(status, message=told.get("message"), description=told.get("description"))
    raise ValueError("no result of a bulk request")
