"""Response headers that protect whoever reads the response (seed: table of attack vectors)."""

from __future__ import annotations

from apiv3.security.calls import Call

Headers = tuple[tuple[bytes, bytes], ...]

HSTS = (b"strict-transport-security", b"max-age=31536000")
"""HTTP downgrade: a browser that came by TLS once comes by TLS for a year (RFC 6797)."""
NOSNIFF = (b"x-content-type-options", b"nosniff")
"""Content sniffing: the media type is what we say it is."""
NO_STORE = (b"cache-control", b"no-store")
"""Cache poisoning, and tokens and health data in caches: nothing under /api is kept (RFC 9111, section 5.2.2.5)."""
NO_REFERRER = (b"referrer-policy", b"no-referrer")
"""Referer leakage: no URL of ours, which may hold a token, is told to another site."""
POLICY = (
    b"content-security-policy",
    b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
)
"""Cross-site scripting, clickjacking: a page runs no script and stands in no frame."""

_API: Headers = (NO_STORE, NOSNIFF)
_PAGE: Headers = (NOSNIFF, NO_REFERRER, POLICY)


def common_headers(call: Call) -> Headers:
    """What every answer to this call carries."""
    base = _API if call.path.startswith((b"/api/", b"/socket.io")) else _PAGE
    encrypted = call.secure and (call.scope["scheme"] == "https" or b"x-forwarded-proto" in call.headers)
    secure = (HSTS,) if encrypted else ()
    return (*base, *secure, (b"x-request-id", call.id.encode()))
