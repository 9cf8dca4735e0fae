"""A request as the gate and the endpoints see it: parsed once, whatever looks at it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from apiv3.model.errors import BadRequest
from apiv3.security.principal import STRANGER, Principal

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

Query = Mapping[str, Sequence[str]]

MOST_PARAMETERS = 100
_SINGLE = (b"authorization", b"date", b"api-secret", b"content-length", b"host")


class Call:
    """One HTTP request. `path`: as sent, percent-encoded. `address`: the client's. `principal`: known once it is admitted.

    `params`: what the route took from the path, still percent-encoded.
    """

    __slots__ = (
        "_query",
        "address",
        "headers",
        "id",
        "method",
        "params",
        "path",
        "principal",
        "receive",
        "scope",
        "secure",
    )

    def __init__(self, scope: Scope, receive: Receive, id: str) -> None:
        self.scope, self.receive, self.id = scope, receive, id
        self.method: str = scope["method"]
        self.path: bytes = scope["raw_path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.params: tuple[bytes, ...] = ()
        self.principal: Principal = STRANGER
        self.address: str = scope["client"][0] if scope.get("client") else ""
        self.secure = False
        self._query: Query | None = None

    def check_headers(self) -> None:
        """Raises BadRequest when a header that may stand once stands twice."""
        headers = self.scope["headers"]
        if len(headers) == len(self.headers):
            return
        names = [name for name, _ in headers]
        for name in _SINGLE:
            if names.count(name) > 1:
                raise BadRequest(f"Header {name.decode()} is repeated")

    @property
    def query(self) -> Query:
        """Parameter -> its values, in their order. Raises BadRequest when they are malformed, or more than 100."""
        if self._query is None:
            self._query = _parse(self.scope["query_string"])
        return self._query

    def one(self, name: str) -> str | None:
        """The value of a parameter, None where there is none. Raises BadRequest when it is repeated."""
        values = self.query.get(name)
        if values is None:
            return None
        if len(values) > 1:
            raise BadRequest(f"Parameter {name} is repeated")
        return values[0]

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


def _parse(query: bytes) -> Query:
    parsed: dict[str, list[str]] = {}
    if not query:
        return parsed
    try:
        text = query.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_PARAMETERS)
    except ValueError as error:
        raise BadRequest("Bad query parameters") from error
    if "%00" in text:
        raise BadRequest("Bad query parameters")
    for name, value in pairs:
        parsed.setdefault(name, []).append(value)
    return parsed
