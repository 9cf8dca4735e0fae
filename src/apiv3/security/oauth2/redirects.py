"""Redirect URIs: which may be registered, and which a request may name (RFC 6749, section 3.1.2; RFC 8252; RFC 9700)."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST, MOST = 1000, 20
"""Most characters of a redirect URI, and most URIs of one client."""
_TEXT = re.compile(r"[!$-;=?-\[\]_a-z~]+", re.ASCII)
"""The characters of a URI (RFC 3986), without `#`, which would begin a fragment."""
_LOOPBACK = r"(http://(?:127\.0\.0\.1|\[::1\]|localhost))"
_ON_LOOPBACK = re.compile(_LOOPBACK + r"(?::(?P<port>\d{1,5}))?(?P<rest>[/?].*)?", re.ASCII)
_ON_TLS = re.compile(r"https://(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?(?:[/?].*)?", re.ASCII)
_OF_AN_APP = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+-]*(?:\.[A-Za-z0-9+-]+)+):.+", re.ASCII)
"""A scheme of an app is a domain name in reverse, so it has a dot (RFC 8252, section 7.1). No scheme that a browser runs or
opens by itself, such as `javascript` and `data`, has one.
"""


def check(uri: str) -> None:
    """Raise ValueError, with the reason, for a redirect URI that cannot be registered."""
    if len(uri) > LONGEST:
        raise ValueError(f"it has more than {LONGEST} characters")
    if "#" in uri:
        raise ValueError("it has a fragment (#)")
    if _TEXT.fullmatch(uri) is None:
        raise ValueError("it is not a URI: write it in ASCII, with other characters percent-encoded")
    if re.match(r"https?://[^/?]*@", uri, re.IGNORECASE):
        raise ValueError("it contains a user name")
    found = _ON_LOOPBACK.fullmatch(uri) or _ON_TLS.fullmatch(uri)
    if found is None and _OF_AN_APP.fullmatch(uri) is None:
        raise ValueError(
            "it must begin with https://, with http:// and 127.0.0.1, [::1] or localhost, or with the scheme of an app that "
            "has a dot in it, such as com.example.app:"
        )
    if found is not None and int(found["port"] or 1) not in range(1, 65536):
        raise ValueError("its port is not between 1 and 65535")


def is_registered(uri: str, registered: Iterable[str]) -> bool:
    """Whether a request may name this URI: exactly as registered, on a loopback address with any port (RFC 8252, 7.3)."""
    return any(uri == each or _without_port(uri) == _without_port(each) for each in registered)


def is_on_loopback(uri: str) -> bool:
    """Whether a URI leads to this machine, so that its port does not matter."""
    return _ON_LOOPBACK.fullmatch(uri) is not None


def is_provable(uri: str) -> bool:
    """Whether only one host can receive answers at this URI. Any program of a machine can take those of others over."""
    return uri.startswith("https://")


def _without_port(uri: str) -> str | tuple[str, str]:
    """A loopback URI without its port, another one as it is."""
    found = _ON_LOOPBACK.fullmatch(uri)
    if found is None or int(found["port"] or 1) not in range(1, 65536):
        return uri
    return (found[1], found["rest"] or "")
