"""Many documents to a server over HTTP, by bulk requests; whatever happens to the connection, none is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from apiv3.client.errors import Refused, Unreachable

Document = Mapping[str, Any]
Result = Mapping[str, Any]

TIMEOUT = 60.0
ATTEMPTS = 8
LONGEST_PAUSE = 30.0
"""Seconds between two attempts: twice as long each time, up to this."""
_LATER = frozenset({408, 429, 500, 502, 503, 504})


class Uploader:
    """Sends documents that a server does not have yet; what it has stays as it is. Use it as `async with`."""

    def __init__(self, url: str, token: str) -> None:
        self._token = token
        try:
            self._client = httpx.AsyncClient(base_url=url, timeout=TIMEOUT)
        except httpx.InvalidURL as error:
            raise Unreachable(f"{url!r} is no address of a server: {error}") from None

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
            return [{"status": 413, "message": _message(answer)}]
        if answer.status_code != 200:
            raise Refused(f"The server answers {answer.status_code}: {_message(answer)}")
        results: list[Result] = answer.json()["result"]
        return results

    async def _patiently(self, collection: str, documents: Sequence[Document]) -> httpx.Response:
        """The answer, whatever it says, once there is one that counts."""
        pause, reason = 0.5, ""
        for _ in range(ATTEMPTS):
            try:
                answer = await self._post(collection, documents)
                if answer.status_code not in _LATER:
                    return answer
                reason = f"it answers {answer.status_code}: {_message(answer)}"
            except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
                raise Unreachable(f"{str(self._client.base_url)!r} is no address of a server: {error}") from None
            except httpx.TransportError as error:
                reason = str(error) or type(error).__name__
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        raise Unreachable(f"{self._client.base_url} cannot be reached: {reason}")

    async def _post(self, collection: str, documents: Sequence[Document]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token}", "Date": str(time.time_ns() // 1_000_000)}
        return await self._client.post(
            f"/api/v3/{collection}/bulk", params={"keep": "true"}, headers=headers, json=list(documents)
        )


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]
