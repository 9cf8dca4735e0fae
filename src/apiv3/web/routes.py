"""The table of all routes: every URL of the server with the permission that it demands.

Segments in braces are parameters. They are taken from the path as it was sent, so that an identifier may contain
percent-encoded slashes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

from apiv3.model.collections import Collection
from apiv3.security.demands import administration
from apiv3.security.gate import Access
from apiv3.security.permissions import Demand
from apiv3.web.administration import Authorization, Roles, Subjects
from apiv3.web.documents import Documents
from apiv3.web.events import Events
from apiv3.web.negotiation import Format
from apiv3.web.next_page import INVITATION, LOGIN
from apiv3.web.openapi import operations
from apiv3.web.operation import Operation
from apiv3.web.people import People
from apiv3.web.router import Handler, Route
from apiv3.web.service import Service
from apiv3.web.site.account import ACCOUNT, AccountPage
from apiv3.web.site.explorer import PATH as EXPLORER
from apiv3.web.site.explorer import Explorer
from apiv3.web.site.front import Front
from apiv3.web.site.invitation import Invitation
from apiv3.web.site.login import Login
from apiv3.web.site.static import PREFIX as STATIC
from apiv3.web.site.static import StaticFiles
from apiv3.web.socketio import PATH, SocketIo
from apiv3.web.users import Users

PUBLIC = Access(public=True)
KNOWN = Access()
STREAM = Access(timestamp=False)
PAGE = Access(public=True, page=True)
"""Pages for everybody, which may differ for those who are signed in. Their endpoints check the nonces of forms."""
PERSONAL = Access(page=True)
"""Pages and forms of whoever is signed in."""
V2 = "/api/v2/authorization"
V3 = "/api/v3"


def routes(
    service: Service,
    documents: Mapping[str, Documents],
    events: Events,
    authorization: Authorization,
    subjects: Subjects,
    roles: Roles,
    users: Users,
    people: People,
    live: SocketIo,
    explorer: Explorer,
    front: Front,
    login: Login,
    invitation: Invitation,
    account: AccountPage,
    static: StaticFiles,
) -> Iterator[Route]:
    """Yield all routes of the server."""
    yield from _also_as_json("version", service.version, PUBLIC, operations.VERSION)
    yield from _also_as_json("status", service.status, KNOWN, operations.STATUS)
    yield from _also_as_json("lastModified", service.last_modified, KNOWN, operations.LAST_MODIFIED)
    yield Route("GET", f"{V3}/events", events.stream, STREAM, operations.EVENTS, waits=True)
    for endpoints in documents.values():
        yield from _collection(endpoints)

    yield Route("GET", f"{V2}/request/{{accessToken}}", authorization.exchange, PUBLIC, operations.EXCHANGE)
    yield Route("GET", f"{V2}/permissions", authorization.permissions, _admin("permissions", "read"), operations.PERMISSIONS)
    yield Route("GET", f"{V2}/permissions/trie", authorization.trie, _admin("permissions", "read"), operations.TRIE)
    yield Route("GET", f"{V2}/debug/check/{{permission}}", authorization.check, Access(administration=True), operations.CHECK)
    yield Route("GET", f"{V2}/subjects", subjects.all, _admin("subjects", "read"), operations.SUBJECTS)
    yield Route("POST", f"{V2}/subjects", subjects.add, _admin("subjects", "create"), operations.ADD_SUBJECT)
    yield Route("PUT", f"{V2}/subjects", subjects.change, _admin("subjects", "update"), operations.CHANGE_SUBJECT)
    yield Route("DELETE", f"{V2}/subjects/{{_id}}", subjects.remove, _admin("subjects", "delete"), operations.REMOVE_SUBJECT)
    yield Route("POST", f"{V2}/subjects/{{_id}}/rotate", subjects.rotate, _admin("subjects", "update"), operations.ROTATE)
    yield Route("GET", f"{V2}/roles", roles.all, _admin("roles", "list"), operations.ROLES)
    yield Route("POST", f"{V2}/roles", roles.add, _admin("roles", "create"), operations.ADD_ROLE)
    yield Route("PUT", f"{V2}/roles", roles.change, _admin("roles", "update"), operations.CHANGE_ROLE)
    yield Route("DELETE", f"{V2}/roles/{{_id}}", roles.remove, _admin("roles", "delete"), operations.REMOVE_ROLE)
    yield Route("GET", f"{V2}/users", users.all, _admin("users", "read"), operations.USERS)
    yield Route("POST", f"{V2}/users", users.add, _admin("users", "create"), operations.ADD_USER)
    yield Route("PUT", f"{V2}/users", users.change, _admin("users", "update"), operations.CHANGE_USER)
    yield Route("DELETE", f"{V2}/users/{{_id}}", users.remove, _admin("users", "delete"), operations.REMOVE_USER)
    yield Route("POST", f"{V2}/users/{{_id}}/invitation", users.invite, _admin("users", "update"), operations.INVITE)

    yield Route("POST", "/api/requestAuthToken", people.request_token, PUBLIC, operations.REQUEST_TOKEN)
    yield Route("GET", f"{INVITATION}{{code}}", invitation.form, PAGE)
    yield Route("POST", f"{INVITATION}{{code}}", invitation.accept, PAGE)
    yield Route("GET", LOGIN, login.form, PAGE)
    yield Route("POST", LOGIN, login.sign_in, PAGE)
    yield Route("POST", "/logout", login.sign_out, PAGE)
    yield Route("GET", ACCOUNT, account.show, PERSONAL)
    yield Route("POST", f"{ACCOUNT}/password", account.change_password, PERSONAL)
    yield Route("POST", f"{ACCOUNT}/sessions/end", account.end_session, PERSONAL)
    yield Route("POST", f"{ACCOUNT}/sessions/end-others", account.sign_out_elsewhere, PERSONAL)

    yield Route("GET", PATH, live.poll, PUBLIC, waits=True, talk=live.talk)
    yield Route("POST", PATH, live.post, PUBLIC)

    yield Route("GET", f"{V3}/openapi.json", explorer.description, PUBLIC, operations.DESCRIPTION)
    yield Route("GET", EXPLORER, explorer.page, PAGE)
    yield Route("GET", "/", front.show, PAGE)
    yield Route("GET", f"{STATIC}{{file}}", static.file, PUBLIC)


def _also_as_json(name: str, endpoint: Handler, access: Access, described: Operation) -> Iterator[Route]:
    """Yield the route of an answer that is always JSON, also with the ending that says so."""
    yield Route("GET", f"{V3}/{name}", endpoint, access, described)
    yield Route("GET", f"{V3}/{name}.json", endpoint, access, replace(described, id=f"{described.id}Json"))


def _collection(endpoints: Documents) -> Iterator[Route]:
    collection = endpoints.collection
    base = f"{V3}/{collection.name}"
    listing, reading = _api(collection, collection.list_action), _api(collection, "read", instance=True)
    reading = replace(reading, endings=tuple(f".{form.extension}" for form in Format))
    yield Route("GET", base, endpoints.search, listing, operations.SEARCH, pages=True)
    yield Route("POST", base, endpoints.create, _api(collection, "create", "update"), operations.CREATE)
    yield Route("POST", f"{base}/bulk", endpoints.create_many, _api(collection, "create", "update"), operations.BULK)
    yield Route("GET", f"{base}/history", endpoints.history, listing, operations.HISTORY, pages=True)
    yield Route(
        "GET", f"{base}/history/{{lastModified}}", endpoints.history_since, listing, operations.HISTORY_SINCE, pages=True
    )
    yield Route("GET", f"{base}/{{identifier}}", endpoints.read, reading, operations.READ)
    yield Route(
        "PUT",
        f"{base}/{{identifier}}",
        endpoints.update,
        _api(collection, "update", "create", instance=True),
        operations.UPDATE,
    )
    yield Route("PATCH", f"{base}/{{identifier}}", endpoints.patch, _api(collection, "update", instance=True), operations.PATCH)
    yield Route(
        "DELETE", f"{base}/{{identifier}}", endpoints.delete, _api(collection, "delete", instance=True), operations.DELETE
    )
    for form in Format:
        yield Route(
            "GET",
            f"{base}.{form.extension}",
            partial(endpoints.search, extension=form),
            listing,
            operations.SEARCH_AS,
            pages=True,
        )
        yield Route(
            "GET",
            f"{base}/history.{form.extension}",
            partial(endpoints.history, extension=form),
            listing,
            operations.HISTORY_AS,
            pages=True,
        )


def _api(collection: Collection, *actions: str, instance: bool = False) -> Access:
    return Access(tuple(Demand.of("api", collection.name, action) for action in actions), instance=instance)


def _admin(kind: str, action: str) -> Access:
    return Access((administration(kind, action),), administration=True)
