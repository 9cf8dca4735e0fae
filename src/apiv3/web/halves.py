"""The two halves of the server, which may run as processes of their own: `apiv3 serve --only login` and `--only api`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from apiv3.web.router import Route

Half = Literal["login", "api"]

_SHARED = frozenset({"/api/v3/version", "/api/v3/version.json", "/healthz"})
_FILES = "/static/"
_OF: dict[str, Half] = {
    "/.well-known/": "login",
    "/account": "login",
    "/admin": "login",
    "/admin/devices": "api",
    "/api/requestAuthToken": "login",
    "/api/v2/": "api",
    "/api/v3/": "api",
    "/api/v3/logins/": "login",
    "/device": "login",
    "/invitation/": "login",
    "/login": "login",
    "/logout": "login",
    "/oauth/": "login",
    "/api3-docs": "api",
    "/socket.io": "api",
    "/updates/": "api",
}
"""The beginning of a path -> the half that serves it; the longest beginning counts."""


def serving(half: Half | None, routes: Iterable[Route]) -> list[Route]:
    """Return the routes that a process with this half serves. None: both halves."""
    return [route for route in routes if half is None or half_of(route.path) in (half, None)]


def half_of(path: str) -> Half | None:
    """Return the half that serves a path; None: both do. Raises LookupError for a path that was assigned to neither."""
    if path in _SHARED or path.startswith(_FILES):
        return None
    if path == "/":  # where people get to from the sign-in
        return "login"
    found = [beginning for beginning in _OF if path.startswith(beginning)]
    if not found:
        raise LookupError(f"{path} belongs to no half of the server: add it to web/halves.py")
    return _OF[max(found, key=len)]
