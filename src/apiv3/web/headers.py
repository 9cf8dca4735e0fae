"""Response headers that protect whoever reads the response (docs/explanation/security-model.md, attack by attack)."""

from __future__ import annotations

from apiv3.web.calls import Call

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
EXPLORER = "/api3-docs"
"""Where the interactive page stands."""
EXPLORER_POLICY = (
    b"content-security-policy",
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
)
"""The page that runs scripts: ours alone, from files; it talks to this server and to nobody else."""

_API: Headers = (NO_STORE, NOSNIFF)
_PAGE: Headers = (NOSNIFF, NO_REFERRER, POLICY)
_EXPLORER: Headers = (NOSNIFF, NO_REFERRER, EXPLORER_POLICY)
_ENCRYPTED_API, _ENCRYPTED_PAGE, _ENCRYPTED_EXPLORER = (*_API, HSTS), (*_PAGE, HSTS), (*_EXPLORER, HSTS)


def common_headers(call: Call) -> Headers:
    """What every answer to this call carries."""
    if call.path.startswith((b"/api/", b"/socket.io")):
        headers = _ENCRYPTED_API if call.origin.encrypted else _API
    elif call.path.startswith(EXPLORER.encode()):
        headers = _ENCRYPTED_EXPLORER if call.origin.encrypted else _EXPLORER
    else:
        headers = _ENCRYPTED_PAGE if call.origin.encrypted else _PAGE
    return (*headers, (b"x-request-id", call.id.encode()))
