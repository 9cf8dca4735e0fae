"""The one HTTP client. It knows the server's address and the caller's token, and interprets answers and failures."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from urllib.parse import quote

import httpx
from httpx_sse import SSEError

from apiv3.client.errors import NoAddress, NoAnswer, Refused, Stranger, Unreachable, Untrusted, shown

LATER = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which the same request may be sent again."""
TIMEOUT = 60.0
"""Seconds for each step of a request: to connect, and between two pieces that are sent or received."""
_TOKEN = re.compile(r"[\w.-]+")
_EXCHANGE = "/api/v2/authorization/request/"
_ADVICE = {401: ". Use the access token of a subject there: on that machine `apiv3 subject show NAME` prints it."}

Trust = ssl.SSLContext | bool
"""Which servers are trusted over TLS; True: those with a certificate of a known authority."""
Timeout = httpx.Timeout | float


class Server:
    """A server at an address. `token`: an access token or a JWT, sent in a header; empty: none.

    `call` is for programs that send one request at a time. `client` and `async_client` are for those that need more of
    httpx: they send `headers()`, and do their work inside `failures()`. Raises NoAddress, and Refused for a malformed token.
    """

    def __init__(self, url: str, token: str = "", *, trust: Trust = True, timeout: Timeout = TIMEOUT) -> None:
        self.url, self._token, self._jwt = _checked_url(url), _checked_token(token), ""
        self._trust, self._timeout = trust, timeout

    def client(self) -> httpx.Client:
        """Return an httpx client for this server. The caller closes it. Raises NoAddress."""
        with self.failures():
            return httpx.Client(base_url=self.url, timeout=self._timeout, verify=self._trust)

    @cached_property
    def _kept(self) -> httpx.Client:
        """The client that all uses of `call` share, so that they reuse its connection."""
        return self.client()

    def async_client(self) -> httpx.AsyncClient:
        """Return an asynchronous httpx client for this server. The caller closes it. Raises NoAddress."""
        with self.failures():
            return httpx.AsyncClient(base_url=self.url, timeout=self._timeout, verify=self._trust)

    def headers(self) -> httpx.Headers:
        """Return the headers that each request needs: the token and this machine's time."""
        headers = {"Date": str(time.time_ns() // 1_000_000)}
        if self._jwt or self._token:
            headers["Authorization"] = f"Bearer {self._jwt or self._token}"
        return httpx.Headers(headers, encoding="utf-8")

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Turn what httpx raises inside the block into NoAddress, Stranger, Untrusted or NoAnswer."""
        try:
            yield
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise NoAddress(self.url, error) from None
        except (httpx.DecodingError, SSEError):
            raise Stranger(self.url) from None
        except (httpx.TransportError, httpx.StreamError) as error:
            kind = Untrusted if _is_distrust(error) else NoAnswer
            raise kind(self.url, str(error) or type(error).__name__) from None

    def log_in(self) -> None:
        """Exchange the access token for a JWT, which `call` sends from now on. Raises Refused, Unreachable."""
        self._jwt = ""
        status, answer = self._call("GET", _EXCHANGE + quote(self._token, safe=""), None, {})
        if status != 200 or "token" not in answer:
            raise Refused(f"The token is not good at {shown(self.url)}: {answer.get('message')}")
        self._jwt = str(answer["token"])

    def call(
        self, method: str, path: str, document: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Send a request; return the status and the JSON of the answer. Exchange the access token for a JWT when none is valid.

        Raises Refused when the token is not good, Unreachable.
        """
        status, answer = self._call(method, path, document, headers or {})
        if status == 401 and self._token:
            self.log_in()
            status, answer = self._call(method, path, document, headers or {})
        return status, answer

    def _call(self, method: str, path: str, document: dict[str, Any] | None, headers: dict[str, str]) -> tuple[int, Any]:
        sent = httpx.Headers([*self.headers().items(), *headers.items()], encoding="utf-8")
        with self.failures():
            answer = self._kept.request(method, path, json=document, headers=sent)
        if answer.has_redirect_location:
            raise Unreachable(
                f"{shown(self.url)} sends its callers on to {shown(answer.headers['location'])}; use that address."
            )
        try:
            return answer.status_code, answer.json() if answer.content else {}
        except (ValueError, RecursionError):
            raise Stranger(self.url) from None


def _checked_token(token: str) -> str:
    """Return the token without the blanks around it. Raises Refused, whose message does not quote the token."""
    bare = token.strip()
    if bare and not _TOKEN.fullmatch(bare):
        raise Refused(
            "The access token holds a character that no token has: it must be letters, digits, `-`, `_` and `.` alone. "
            "Copy it again."
        )
    return bare


def _checked_url(url: str) -> str:
    """Return the address without blanks around it. Raises NoAddress if it contains more than that, such as a token."""
    bare = url.strip()
    if any(mark in bare for mark in "?#@"):
        raise NoAddress(bare, "it ends with the path, and no user stands in it; a token goes into APIV3_TOKEN")
    return bare


def refusal(answer: httpx.Response) -> Refused:
    """Return the error for an answer that is no success and that another attempt would not change."""
    advice = _ADVICE.get(answer.status_code, "")
    return Refused(f"The server answers {answer.status_code}: {message(answer)}{advice}")


def message(answer: httpx.Response) -> str:
    """Return the message of an answer; for an answer of another program, its beginning."""
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return " ".join(answer.text[:200].split())


def _is_distrust(error: BaseException | None) -> bool:
    """Return whether a certificate that is not trusted caused the error."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None
