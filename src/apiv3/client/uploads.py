"""Many documents to a server over HTTP, by bulk requests; whatever happens to the connection, none is lost."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import httpx

from apiv3.client.answers import LATER, message, refusal
from apiv3.client.errors import NoAddress, Stranger, Unreachable

Document = Mapping[str, Any]

TIMEOUT = 60.0
"""Seconds for each step of a request: until there is a connection, and between two pieces that are sent or come."""
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
        self._url, self._token, self._tell = url, token, tell
        self._has_answered = False
        try:
            self._client = httpx.AsyncClient(base_url=url, timeout=TIMEOUT)
        except httpx.InvalidURL as error:
            raise NoAddress(url, error) from None

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
            raise Stranger(self._url) from None
        if len(results) != number:
            raise Stranger(self._url)
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
            answer = await self._post(collection, documents)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise NoAddress(self._url, error) from None
        except httpx.DecodingError:
            raise Stranger(self._url) from None
        except httpx.TransportError as error:
            kind = _Later if self._has_answered and not _is_distrust(error) else Unreachable
            raise kind(f"{self._url} cannot be reached: {str(error) or type(error).__name__}") from None
        self._has_answered = True
        if answer.status_code in LATER:
            raise _Later(f"{self._url} answers {answer.status_code}: {message(answer)}")
        return answer

    async def _post(self, collection: str, documents: Sequence[Document]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token}", "Date": str(time.time_ns() // 1_000_000)}
        return await self._client.post(
            f"/api/v3/{collection}/bulk",
            params={"keep": "true"},
            headers=httpx.Headers(headers, encoding="utf-8"),  # whatever the token is, the server says that it is none
            json=list(documents),
        )


class _Later(Unreachable):
    """The same request may find a server later."""


def _is_distrust(error: BaseException | None) -> bool:
    """Whether it comes of a certificate that nobody vouches for, which waiting does not mend."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None


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
