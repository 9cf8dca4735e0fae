"""Response headers that protect the reader of a response; docs/explanation/security-model.md describes the attacks."""

from __future__ import annotations

from apiv3.web.calls import Call

Headers = tuple[tuple[bytes, bytes], ...]

HSTS = (b"strict-transport-security", b"max-age=31536000")
"""Against downgrades to plain HTTP: a browser that has used TLS uses it for a year (RFC 6797)."""
NOSNIFF = (b"x-content-type-options", b"nosniff")
"""Against content sniffing: browsers use the media type of the Content-Type header."""
NO_STORE = (b"cache-control", b"no-store")
"""Against cache poisoning, and tokens or health data in caches: nothing under /api is cached (RFC 9111, section 5.2.2.5)."""
VARY = (b"vary", b"accept, accept-encoding")
"""Against a cache that gives one client the format or the coding of another (RFC 9110, section 12.5.5)."""
NO_REFERRER = (b"referrer-policy", b"no-referrer")
"""Against leaks by the Referer header: browsers do not send our URLs, which may contain a token, to other sites."""
POLICY = (
    b"content-security-policy",
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
)
"""Against cross-site scripting and clickjacking: only files of this server are loaded, and nothing that stands in a page itself
runs or styles it; requests and forms go to this server; no page can be put into a frame. `data:` is for icons of Swagger UI.
"""
ISOLATED = (b"cross-origin-opener-policy", b"same-origin")
"""Against pages of other sites that open ours, or are opened by ours: neither gets hold of the other's window."""

NOT_EMBEDDED = (b"cross-origin-resource-policy", b"same-origin")
"""Against cross-site script inclusion: browsers do not load an answer as a script, style or image of another site's page. Pages
in `CORS_ORIGINS` read answers by other requests, which this does not concern.
"""

_API: Headers = (NO_STORE, NOSNIFF, NOT_EMBEDDED)
_DOCUMENTS: Headers = (*_API, VARY)
_PAGE: Headers = (NOSNIFF, NO_REFERRER, POLICY, ISOLATED, NOT_EMBEDDED)
_ENCRYPTED_API, _ENCRYPTED_DOCUMENTS, _ENCRYPTED_PAGE = (*_API, HSTS), (*_DOCUMENTS, HSTS), (*_PAGE, HSTS)


def is_page(path: bytes) -> bool:
    """Whether a path is one for people with a browser: all but the API and the live channels."""
    return not path.startswith((b"/api/", b"/socket.io"))


def common_headers(call: Call) -> Headers:
    """Return the headers that every answer to this call carries."""
    if call.path.startswith(b"/api/v3/"):
        headers = _ENCRYPTED_DOCUMENTS if call.origin.encrypted else _DOCUMENTS
    elif is_page(call.path):
        headers = _ENCRYPTED_PAGE if call.origin.encrypted else _PAGE
    else:
        headers = _ENCRYPTED_API if call.origin.encrypted else _API
    return (*headers, *call.cookies, (b"x-request-id", call.id.encode()))
