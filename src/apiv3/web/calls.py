"""A request as the gate and the endpoints see it. Headers and query are parsed once."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from apiv3.model import messages
from apiv3.model.errors import BadRequest
from apiv3.model.sessions import Session, Started, Visitor, browser_name
from apiv3.security.accounts.user_tokens import is_user_token
from apiv3.security.addresses import is_loopback
from apiv3.security.credentials import BEARER, Credential, Identity, Source, session_key
from apiv3.security.principal import STRANGER, Principal
from apiv3.web.cookies import FORM, SESSION
from apiv3.web.origins import is_own
from apiv3.web.parameters import Parameters, parse_form, parse_query
from apiv3.web.proxies import NOWHERE, Proxies, is_proxied

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing (RFC 9110, section 9.2.1)."""

_LONGEST_REMEMBERED = 300
"""Most bytes of a header Host whose check is cached."""
_HOST = re.compile(rb"([A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(:\d{0,5})?")
_SINGLE = (b"authorization", b"authentication-token", b"date", b"api-secret", b"content-length", b"host")


def _joined(lines: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return headers by name; several lines of one name are joined by commas, in their order (RFC 9110, section 5.3)."""
    headers = dict(lines)
    if len(headers) < len(lines):
        headers.clear()
        for name, value in lines:
            headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


def check_host(scope: Scope, host: bytes | None) -> None:
    """Raise BadRequest for a malformed Host, and for a missing one except in HTTP/1.0 (RFC 9112, section 3.2)."""
    if host is None:
        if scope.get("http_version", "1.1") != "1.0":
            raise BadRequest("Header host is missing")
    elif not (_is_host_remembered if len(host) <= _LONGEST_REMEMBERED else _is_host)(host):
        raise BadRequest("Bad header host")


def _is_host(host: bytes) -> bool:
    return _HOST.fullmatch(host) is not None


_is_host_remembered = lru_cache(maxsize=64)(_is_host)


def is_local(host: str) -> bool:
    """Whether the value of a header Host, in lower case, names this machine: `localhost` or a loopback address."""
    name = host.rpartition(":")[0] if re.search(r":\d*\Z", host) else host
    return name == "localhost" or is_loopback(name.removeprefix("[").removesuffix("]"))


class Call:
    """One HTTP request.

    `path`: as sent, percent-encoded. `address`: the address of the peer, after `locate` that of the client. `origin`: where the
    call comes from, set by `locate`. `principal` and `identity`: the caller, and the owner of its credential (None if there is
    none), set by the gate. `params`: the parameters that the route took from the path, percent-encoded. `on_end`: called when
    the endpoint has finished, whether it succeeded or not. `on_sent`: called when the client has received the answer, or has
    disconnected. `read_form`: reads the body, on a route for a form. `cookies`: the headers Set-Cookie of the answer.
    `form_target`: where forms of the answer may lead besides this server, as a source of a Content-Security-Policy.
    """

    params: tuple[bytes, ...] = ()
    principal: Principal = STRANGER
    identity: Identity | None = None
    on_end: Callable[[], None] | None = None
    on_sent: Callable[[], None] | None = None
    origin = NOWHERE
    read_form: Callable[[], Awaitable[bytes]] | None = None
    cookies: tuple[tuple[bytes, bytes], ...] = ()
    form_target = b""
    _query: Parameters | None = None
    _form: Parameters | None = None

    def __init__(self, scope: Scope, receive: Receive, id: str) -> None:
        self.scope, self.receive, self.id = scope, receive, id
        self.method: str = scope["method"]
        self.path: bytes = scope["raw_path"]
        self.headers = _joined(scope["headers"])
        self.address: str = scope["client"][0] if scope.get("client") else ""

    def locate(self, proxies: Proxies) -> None:
        """Set `origin` and `address`: where the call comes from, and whether it came encrypted."""
        self.origin = proxies.origin(self.scope["scheme"], self.address, self.headers)
        self.address = self.origin.address

    @property
    def is_proxied(self) -> bool:
        """Whether the headers show that the call came through a proxy."""
        return is_proxied(self.headers)

    def check_headers(self) -> None:
        """Raise BadRequest for a repeated header that may occur only once, and for a missing or malformed Host."""
        headers = self.scope["headers"]
        if len(headers) != len(self.headers):
            names = [name for name, _ in headers]
            for name in _SINGLE:
                if names.count(name) > 1:
                    raise BadRequest(f"Header {name.decode()} is repeated")
        check_host(self.scope, self.headers.get(b"host"))

    @property
    def visitor(self) -> Visitor:
        """Where the person sits who signs in with this call."""
        return Visitor(self.address, browser_name(self.header(b"user-agent") or ""))

    @property
    def browser_session(self) -> Session | None:
        """The session of the person, None when nobody is signed in."""
        return None if self.identity is None else self.identity.session

    @property
    def query(self) -> Parameters:
        """The query parameters. Raises BadRequest when they are malformed, or more than MOST_PARAMETERS."""
        if self._query is None:
            self._query = parse_query(self.scope["query_string"])
        return self._query

    def header(self, name: bytes) -> str | None:
        """Return the value of a header, None when it is missing. `name`: in lower case."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    async def form(self) -> Parameters:
        """The fields of the form that was sent; none on a route without a form. Raises BadRequest, and as `read_body` does."""
        if self._form is None:
            self._form = parse_form(b"" if self.read_form is None else await self.read_form())
        return self._form

    @property
    def form_cookie(self) -> str | None:
        """The value of the cookie to which the forms before the sign-in are bound."""
        return FORM.read(self.headers.get(b"cookie"), encrypted=self.origin.encrypted)

    # --- called by the gate, see `security.gate.Caller`

    @property
    def secure(self) -> bool:
        return self.origin.secure

    @property
    def document(self) -> str:
        return unquote(self.params[-1])

    @property
    def session(self) -> str | None:
        cookie = self.headers.get(b"cookie")
        return None if cookie is None else SESSION.read(cookie, encrypted=self.origin.encrypted)

    @property
    def is_safe(self) -> bool:
        return self.method in _SAFE

    @property
    def is_navigation(self) -> bool:
        return self.headers.get(b"sec-fetch-dest", b"document") == b"document"

    @property
    def is_foreign(self) -> bool:
        """By Sec-Fetch-Site, which browsers set; only the oldest do not, and then by Origin, if it was sent."""
        site, origin = self.header(b"sec-fetch-site"), self.header(b"origin")
        if site is not None:
            return site not in ("same-origin", "none")
        if origin is None:
            return False
        return not is_own(origin, self.headers, proxied=self.is_proxied) or (
            self.origin.encrypted and not origin.lower().startswith("https:")
        )

    async def nonce(self, *, form: bool) -> str | None:
        sent = self.header(b"x-nonce")
        return (await self.form()).one("nonce") if sent is None and form else sent

    def keep(self, started: Started) -> None:
        encrypted = self.origin.encrypted
        self.cookies = (
            SESSION.write(started.value, started.lifetime, encrypted=encrypted),
            FORM.write("", 0, encrypted=encrypted),
        )

    def drop(self) -> None:
        """Let the browser forget the value of the session, which has ended."""
        self.cookies = (SESSION.write("", 0, encrypted=self.origin.encrypted),)

    def foreign(self, origins: Sequence[str]) -> str | None:
        if self.is_proxied:
            return "this request came through a proxy"
        host, origin = (self.header(b"host") or "").lower(), self.header(b"origin")
        if not is_local(host):
            return "the header Host names another one"
        if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}", *origins):
            return "this request came from a page of another site"
        return None

    def timestamp(self) -> bytes | str | None:
        return self.headers.get(b"date") or self.query.one("now")

    def authorization(self) -> bytes | None:
        header, other = self.headers.get(b"authorization"), self.headers.get(b"authentication-token")
        if other is not None:
            header = b"Authentication-Token " + other if header is None else None
        elif b"cookie" in self.headers and (session := self.session) is not None:
            header = session_key(session) if header is None else None
        return None if header is None or (self.scope["query_string"] and self._has_query_token()) else header

    def _has_query_token(self) -> bool:
        """Whether the query contains a credential. Nobody filters documents by `access_token` (RFC 6750, section 2.3)."""
        return bool(self.query.all("token") or self.query.all("access_token"))

    def device_secret(self) -> Credential | None:
        header = self.header(b"authorization")
        if header is None or not header.lower().startswith("basic "):
            return None
        try:
            return Credential(":".join(basic(header)), "basic", self.address)
        except ValueError as error:
            raise BadRequest("Bad header authorization") from error

    def credential(self, *, api_secret: bool) -> Credential | None:
        """Return the credential, None when there is none or it is empty. Raises BadRequest for more than one, also when one
        header contains several.
        """
        found: list[tuple[str, Source]] = [(bearer, "header") for bearer in _bearers(self.header(b"authorization"))]
        if token := self.header(b"authentication-token"):
            found.append((token, "authentication-token"))
        found += [(token, "query") for token in self.query.all("token") if token]
        found += [(token, "query") for token in self.query.all("access_token") if token.startswith(BEARER)]
        if session := self.session:
            found.append((session, "session"))
        if api_secret and (digest := self.header(b"api-secret")):
            found.append((digest, "api-secret"))
        if len(found) > 1:
            raise BadRequest(messages.TWO_CREDENTIALS)
        return Credential(*found[0], self.address) if found else None


def basic(header: str) -> tuple[str, str]:
    """Return the name and the password of a header Authorization (RFC 7617). Raises ValueError."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise ValueError("another scheme")
    name, colon, password = b64decode(encoded.strip(), validate=True).decode().partition(":")
    if not colon:
        raise ValueError("no password")
    return name, password


def _bearers(header: str | None) -> list[str]:
    """Return the credentials in a header Authorization: those with the scheme Bearer, or user tokens without a scheme. A comma
    separates several, since no token contains one (RFC 6750, section 2.1).
    """
    scheme, _, secrets = (header or "").partition(" ")
    if scheme.lower() != "bearer":
        return [token for token in map(str.strip, (header or "").split(",")) if is_user_token(token)]
    return [secret for secret in map(str.strip, secrets.split(",")) if secret]
