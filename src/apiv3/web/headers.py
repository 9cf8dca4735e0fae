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


_OPEN = (b"/oauth/token", b"/oauth/revoke", b"/oauth/device_authorization", b"/.well-known/oauth-authorization-server")
"""The endpoints of OAuth2 that pages of any site may call: single-page applications. No cookie counts there."""
_OAUTH = (b"/oauth/token", b"/oauth/revoke", b"/oauth/introspect", b"/oauth/device_authorization")
_MACHINES = (b"/api/", b"/socket.io", b"/updates/", *_OAUTH)
OPEN_TO_ALL = (b"access-control-allow-origin", b"*")


def is_page(path: bytes) -> bool:
    """Whether a path is one for people with a browser: all but the API, the live channels, what programs call of OAuth2, and
    the repository of software updates.
    """
    return not path.startswith((*_MACHINES, b"/.well-known/"))


def is_open(path: bytes) -> bool:
    """Whether pages of any site may call a path (CORS), without credentials of the browser."""
    return path in _OPEN


def common_headers(call: Call) -> Headers:
    """Return the headers that every answer to this call carries."""
    if call.path.startswith(b"/api/v3/"):
        headers = _ENCRYPTED_DOCUMENTS if call.origin.encrypted else _DOCUMENTS
    else:
        headers = _other_headers(call)
    return (*headers, *call.cookies, (b"x-request-id", call.id.encode()))


def _other_headers(call: Call) -> Headers:
    """Return the headers of an answer that is not one of /api/v3."""
    if is_page(call.path):
        headers = _ENCRYPTED_PAGE if call.origin.encrypted else _PAGE
    else:
        headers = _ENCRYPTED_API if call.origin.encrypted else _API
    if call.form_target:
        headers = tuple(_leading_to(call.form_target) if header == POLICY else header for header in headers)
    return (*headers, OPEN_TO_ALL) if is_open(call.path) else headers


def _leading_to(target: bytes) -> tuple[bytes, bytes]:
    """Return the policy of a page whose forms may lead to a site besides this server."""
    name, value = POLICY
    return name, value.replace(b"form-action 'self'", b"form-action 'self' " + target)
