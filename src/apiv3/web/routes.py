"""Every URL of the server on one page, each with the permission that it demands.

Segments in braces are parameters. They are taken from the path as it was sent, so that an identifier may hold
percent-encoded slashes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

from apiv3.model.collections import Collection
from apiv3.security.gate import Access
from apiv3.security.permissions import Demand
from apiv3.web.administration import Authorization, Roles, Subjects
from apiv3.web.collections import Documents
from apiv3.web.events import Events
from apiv3.web.formats import Format
from apiv3.web.live import SocketIo
from apiv3.web.pages import Pages
from apiv3.web.routing import Route
from apiv3.web.service import Service

PUBLIC = Access(public=True)
KNOWN = Access()
STREAM = Access(timestamp=False)
V2 = "/api/v2/authorization"
V3 = "/api/v3"


def routes(
    service: Service,
    documents: Mapping[str, Documents],
    events: Events,
    authorization: Authorization,
    subjects: Subjects,
    roles: Roles,
    live: SocketIo,
    pages: Pages,
) -> Iterator[Route]:
    """All of them."""
    yield Route("GET", f"{V3}/version", service.version, PUBLIC)
    yield Route("GET", f"{V3}/status", service.status, KNOWN)
    yield Route("GET", f"{V3}/lastModified", service.last_modified, KNOWN)
    yield Route("GET", f"{V3}/events", events.stream, STREAM)
    for endpoints in documents.values():
        yield from _collection(endpoints)

    yield Route("GET", f"{V2}/request/{{accessToken}}", authorization.exchange, PUBLIC)
    yield Route("GET", f"{V2}/permissions", authorization.permissions, _admin("permissions", "read"))
    yield Route("GET", f"{V2}/permissions/trie", authorization.trie, _admin("permissions", "read"))
    yield Route("GET", f"{V2}/debug/check/{{permission}}", authorization.check, Access(administration=True))
    yield Route("GET", f"{V2}/subjects", subjects.all, _admin("subjects", "read"))
    yield Route("POST", f"{V2}/subjects", subjects.add, _admin("subjects", "create"))
    yield Route("PUT", f"{V2}/subjects", subjects.change, _admin("subjects", "update"))
    yield Route("DELETE", f"{V2}/subjects/{{_id}}", subjects.remove, _admin("subjects", "delete"))
    yield Route("POST", f"{V2}/subjects/{{_id}}/rotate", subjects.rotate, _admin("subjects", "update"))
    yield Route("GET", f"{V2}/roles", roles.all, _admin("roles", "list"))
    yield Route("POST", f"{V2}/roles", roles.add, _admin("roles", "create"))
    yield Route("PUT", f"{V2}/roles", roles.change, _admin("roles", "update"))
    yield Route("DELETE", f"{V2}/roles/{{_id}}", roles.remove, _admin("roles", "delete"))

    yield Route("GET", "/socket.io", live.poll, PUBLIC, waits=True, talk=live.talk)
    yield Route("POST", "/socket.io", live.post, PUBLIC)

    yield Route("GET", "/", pages.welcome, PUBLIC)


def _collection(endpoints: Documents) -> Iterator[Route]:
    collection = endpoints.collection
    base = f"{V3}/{collection.name}"
    listing, reading = _api(collection, collection.list_action), _api(collection, "read", instance=True)
    reading = replace(reading, endings=tuple(f".{form.extension}" for form in Format))
    yield Route("GET", base, endpoints.search, listing)
    yield Route("POST", base, endpoints.create, _api(collection, "create", "update"))
    yield Route("GET", f"{base}/history", endpoints.history, listing)
    yield Route("GET", f"{base}/history/{{lastModified}}", endpoints.history_since, listing)
    yield Route("GET", f"{base}/{{identifier}}", endpoints.read, reading)
    yield Route("PUT", f"{base}/{{identifier}}", endpoints.update, _api(collection, "update", "create", instance=True))
    yield Route("PATCH", f"{base}/{{identifier}}", endpoints.patch, _api(collection, "update", instance=True))
    yield Route("DELETE", f"{base}/{{identifier}}", endpoints.delete, _api(collection, "delete", instance=True))
    for form in Format:
        yield Route("GET", f"{base}.{form.extension}", partial(endpoints.search, extension=form), listing)
        yield Route("GET", f"{base}/history.{form.extension}", partial(endpoints.history, extension=form), listing)


def _api(collection: Collection, *actions: str, instance: bool = False) -> Access:
    return Access(tuple(Demand.of("api", collection.name, action) for action in actions), instance=instance)


def _admin(kind: str, action: str) -> Access:
    return Access((Demand.of("admin", "api", kind, action),), administration=True)
