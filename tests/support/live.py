"""What the tests of live changes stand on."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, NamedTuple

import orjson

from apiv3.model.changes import Change
from apiv3.model.documents import Document
from tests.support.server import LiveServer
from tests.support.waiting import PATIENCE

State = dict[str, Document]
"""Identifier -> document, as a follower has them that keeps no deleted ones."""


def apply(state: State, changes: Iterable[Change]) -> State:
    """Do to a follower's state what happened to the table; returns the same state."""
    for change in changes:
        if change.kind == "reset":
            state.clear()
        elif change.kind == "delete":
            state.pop(change.identifier, None)
        else:
            assert change.body is not None
            state[change.identifier] = orjson.loads(change.body)
    return state


class Told(NamedTuple):
    """A server-sent event."""

    kind: str
    data: Any
    id: str


class Stream:
    """A raw client of /api/v3/events, as curl would be."""

    def __init__(
        self,
        server: LiveServer,
        token: str | None,
        query: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        path: str = "/api/v3/events",
    ) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        bearer = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._connection.request(method, f"{path}?{query}" if query else path, headers=bearer | dict(headers or {}))
        self._answer = self._connection.getresponse()
        self.status, self.headers = self._answer.status, self._answer.headers
        self.id = ""
        if self.status == 200 and method == "GET":
            assert self._block()[0].startswith("retry: ")

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._answer.close()
        self._connection.close()

    def json(self) -> Any:
        """The whole body of an answer that is no stream."""
        return orjson.loads(self._answer.read())

    def next(self) -> Told:
        """The next event. Raises EOFError at the end of the stream, TimeoutError when there is nothing but heartbeats."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            fields = dict(line.split(": ", 1) for line in self._block() if not line.startswith(":"))
            if fields:
                assert fields.keys() == {"id", "event", "data"}
                return Told(fields["event"], orjson.loads(fields["data"]), fields["id"])
        raise TimeoutError

    def take(self, number: int) -> list[Told]:
        return [self.next() for _ in range(number)]

    def ends(self) -> bool:
        """Whether the stream ends without another event."""
        try:
            self.next()
        except EOFError:
            return True
        return False

    def _block(self) -> list[str]:
        """The lines up to the next empty one."""
        lines: list[str] = []
        while line := self._answer.readline():
            if line == b"\n":
                for each in lines:
                    self.id = each.removeprefix("id: ") if each.startswith("id: ") else self.id
                return lines
            lines.append(line.decode().rstrip("\n"))
        raise EOFError
