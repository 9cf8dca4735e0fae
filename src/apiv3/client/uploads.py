"""Upload many documents to a server with bulk requests. None is lost when the connection breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import httpx

from apiv3.client.errors import NoAnswer, Stranger, Unreachable, Untrusted, shown
from apiv3.client.http import LATER, Server, message, refusal

Document = Mapping[str, Any]

ATTEMPTS = 8
"""How often a request is sent before the server counts as unreachable."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds between two attempts. They double each time."""


class Result(NamedTuple):
    """The result for one document. `status`: 201 if it is new, 200 if the server has it already, else the refusal.

    A stored document has its `identifier`, and its `srvModified` in ms as `modified`: 0 if the server had it already and the
    token may not read it. A refused one has a `message` and maybe a `description`.
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
    """Sends documents, and leaves those that the server already has as they are. Use it as an asynchronous context manager.

    If the connection to a server that has answered before is lost, it waits and tries again; a server that has never answered
    is an error at once. `tell`: called with a short message each time it waits.
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
        """Send documents; return the server's result for each. Raises Refused, Unreachable."""
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
        """Return the results in an answer to that many documents. Raises Unreachable if the answer is malformed."""
        try:
            results = [_result(each) for each in answer.json()["result"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Stranger(self._server.url) from None
        if len(results) != number:
            raise Stranger(self._server.url)
        return results

    async def _patiently(self, collection: str, documents: Sequence[Document]) -> httpx.Response:
        """Send a request until there is a final answer, and return it."""
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
        """Send a request once; return a final answer. Raises Unreachable: _Later if another attempt may help."""
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
    """The request failed, but may succeed later."""


def _result(told: Any) -> Result:
    """Read one element of an answer. Raises ValueError if it does not have the form of this server's."""
    match told:
        case {"status": 200 | 201 as status, "identifier": str(identifier)}:
            modified = told.get("lastModified", 0)
            if isinstance(modified, int):
                return Result(status, identifier, modified)
        case {"status": int(status)} if status >= 400:
            return Result(status, message=told.get("message"), description=told.get("description"))
    raise ValueError("no result of a bulk request")
