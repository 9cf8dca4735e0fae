"""The cookies of the pages for people (RFC 6265).

Over TLS their names begin with `__Host-`: browsers then take them only from this host over TLS, so that no other host of the
domain and nobody in the network can plant one. On plain HTTP, which is for this machine only, browsers refuse such names.
"""

from __future__ import annotations

import re
from functools import lru_cache

from apiv3.model import messages
from apiv3.model.errors import BadRequest

LONGEST_REMEMBERED = 512
"""Most bytes of a header Cookie whose values are cached."""
_PREFIX = "__Host-"
_VALUE = "[A-Za-z0-9_-]{43}"
"""256 random bits in URL-safe Base64. A cookie of another form is not ours: on a loopback address, all ports share cookies."""


class Cookie:
    """A cookie with a random value that the server makes and only the server reads."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._plain, self._encrypted = _Finder(name), _Finder(_PREFIX + name)

    def read(self, header: bytes | None, *, encrypted: bool) -> str | None:
        """Return the value in the header Cookie, None when there is none. Raises BadRequest when there are several.

        `encrypted`: whether the call came by TLS.
        """
        if header is None:
            return None
        found = (self._encrypted if encrypted else self._plain)(header)
        if len(found) > 1:
            raise BadRequest(messages.TWO_CREDENTIALS)
        return found[0] if found else None

    def write(self, value: str, seconds: int, *, encrypted: bool) -> tuple[bytes, bytes]:
        """Return the header Set-Cookie for a value that lasts for some seconds; 0 removes the cookie."""
        name, secure = (_PREFIX + self._name, "; Secure") if encrypted else (self._name, "")
        text = f"{name}={value}; Path=/; Max-Age={seconds}{secure}; HttpOnly; SameSite=Lax"
        return b"set-cookie", text.encode()


class _Finder:
    """Finds the values of one cookie in a header. A browser sends the same header many times, so results are cached."""

    def __init__(self, name: str) -> None:
        self._pattern = re.compile(rf"(?:^|[;,])[ \t]*{name}=({_VALUE})[ \t]*(?=[;,]|$)".encode())
        self._remembered = lru_cache(maxsize=1024)(self._find)

    def __call__(self, header: bytes) -> list[str]:
        return (self._remembered if len(header) <= LONGEST_REMEMBERED else self._find)(header)

    def _find(self, header: bytes) -> list[str]:
        return [value.decode() for value in self._pattern.findall(header)]


SESSION = Cookie("session")
"""Who is signed in."""
FORM = Cookie("form")
"""What the forms are bound to before the sign-in."""
