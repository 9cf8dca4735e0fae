"""The table of all routes: every URL of the server with the permission that it demands.

Segments in braces are parameters. They are taken from the path as it was sent, so that an identifier may contain
percent-encoded slashes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

from apiv3.model.collections import Collection
from apiv3.security.demands import ACTIONS, COMMAND, LOGINS, UPDATES, administration
from apiv3.security.gate import Access
from apiv3.security.oauth2.authentication import DOCS_REDIRECT
from apiv3.security.permissions import Demand
from apiv3.web.administration import Authorization, Roles, Subjects
from apiv3.web.clients import ClientEndpoints
from apiv3.web.devices import DeviceEndpoints
from apiv3.web.documents import Documents
from apiv3.web.events import Events
from apiv3.web.hub import PATH as HUB
from apiv3.web.hub import HubEndpoints
from apiv3.web.logins import Logins
from apiv3.web.negotiation import Format
from apiv3.web.next_page import FIRST_INVITATION, INVITATION, LOGIN
from apiv3.web.oauth2 import AUTHORIZE, DEVICE, DEVICE_AUTHORIZATION, INTROSPECT, METADATA, REVOKE, TOKEN, TOKEN_INFO, OAuth2
from apiv3.web.openapi import hub as device_operations
from apiv3.web.openapi import management, operations
from apiv3.web.operation import Operation
from apiv3.web.people import People
from apiv3.web.router import Handler, Route
from apiv3.web.service import Service
from apiv3.web.site.account import ACCOUNT, AccountPage
from apiv3.web.site.admin.frame import start
from apiv3.web.site.admin.pages import AdminPages
from apiv3.web.site.applications import APPLICATIONS, ApplicationPages
from apiv3.web.site.consent import Consent
from apiv3.web.site.device import DevicePages
from apiv3.web.site.explorer import PATH as EXPLORER
from apiv3.web.site.explorer import Explorer
from apiv3.web.site.first_invitation import FirstInvitationPage
from apiv3.web.site.front import Front
from apiv3.web.site.invitation import Invitation
from apiv3.web.site.login import Login
from apiv3.web.site.passkeys import PasskeyPages
from apiv3.web.site.sections import ADMIN, AUDIT, CHECK, CLIENTS, DEVICES, FAILURES, ROLES, SESSIONS, STATE, SUBJECTS, USERS
from apiv3.web.site.static import PREFIX as STATIC
from apiv3.web.site.static import StaticFiles
from apiv3.web.socketio import PATH, SocketIo
from apiv3.web.updates import PREFIX as UPDATE_FILES
from apiv3.web.updates import Updates
from apiv3.web.users import Users

PUBLIC = Access(public=True)
KNOWN = Access()
STREAM = Access(timestamp=False)
BUS = Access((LOGINS,), timestamp=False)
FETCHING = Access((UPDATES,), timestamp=False, device=True)
"""What apt fetches, which sends no time."""
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
    logins: Logins,
    authorization: Authorization,
    subjects: Subjects,
    roles: Roles,
    users: Users,
    clients: ClientEndpoints,
    devices: DeviceEndpoints,
    hub: HubEndpoints | None,
    updates: Updates,
    oauth2: OAuth2,
    consent: Consent,
    applications: ApplicationPages,
    device_codes: DevicePages,
    people: People,
    live: SocketIo,
    explorer: Explorer,
    front: Front,
    login: Login,
    invitation: Invitation,
    first: FirstInvitationPage,
    account: AccountPage,
    passkeys: PasskeyPages,
    admin: AdminPages,
    static: StaticFiles,
) -> Iterator[Route]:
    """Yield all routes of the server. `hub`: None where devices cannot connect."""
    yield Route("GET", "/healthz", service.health, PUBLIC)
    yield from _also_as_json("version", service.version, PUBLIC, operations.VERSION)
    yield from _also_as_json("status", service.status, KNOWN, operations.STATUS)
    yield from _also_as_json("lastModified", service.last_modified, KNOWN, operations.LAST_MODIFIED)
    yield Route("GET", f"{V3}/events", events.stream, STREAM, operations.EVENTS, waits=True)
    yield Route("GET", f"{V3}/logins/events", logins.stream, BUS, operations.LOGINS, waits=True)
    for endpoints in documents.values():
        yield from _collection(endpoints)

    yield Route("GET", f"{V2}/request/{{accessToken}}", authorization.exchange, PUBLIC, management.EXCHANGE)
    yield Route("GET", f"{V2}/permissions", authorization.permissions, _admin("permissions", "read"), management.PERMISSIONS)
    yield Route("GET", f"{V2}/permissions/trie", authorization.trie, _admin("permissions", "read"), management.TRIE)
    yield Route("GET", f"{V2}/debug/check/{{permission}}", authorization.check, Access(administration=True), management.CHECK)
    yield Route("GET", f"{V2}/subjects", subjects.all, _admin("subjects", "read"), management.SUBJECTS)
    yield Route("POST", f"{V2}/subjects", subjects.add, _admin("subjects", "create"), management.ADD_SUBJECT)
    yield Route("PUT", f"{V2}/subjects", subjects.change, _admin("subjects", "update"), management.CHANGE_SUBJECT)
    yield Route("DELETE", f"{V2}/subjects/{{_id}}", subjects.remove, _admin("subjects", "delete"), management.REMOVE_SUBJECT)
    yield Route("POST", f"{V2}/subjects/{{_id}}/rotate", subjects.rotate, _admin("subjects", "update"), management.ROTATE)
    yield Route("GET", f"{V2}/roles", roles.all, _admin("roles", "list"), management.ROLES)
    yield Route("POST", f"{V2}/roles", roles.add, _admin("roles", "create"), management.ADD_ROLE)
    yield Route("PUT", f"{V2}/roles", roles.change, _admin("roles", "update"), management.CHANGE_ROLE)
    yield Route("DELETE", f"{V2}/roles/{{_id}}", roles.remove, _admin("roles", "delete"), management.REMOVE_ROLE)
    yield Route("GET", f"{V2}/users", users.all, _admin("users", "read"), management.USERS)
    yield Route("POST", f"{V2}/users", users.add, _admin("users", "create"), management.ADD_USER)
    yield Route("PUT", f"{V2}/users", users.change, _admin("users", "update"), management.CHANGE_USER)
    yield Route("DELETE", f"{V2}/users/{{_id}}", users.remove, _admin("users", "delete"), management.REMOVE_USER)
    yield Route("POST", f"{V2}/users/{{_id}}/invitation", users.invite, _admin("users", "update"), management.INVITE)

    yield Route("GET", f"{V2}/clients", clients.all, _admin("clients", "read"), management.CLIENTS)
    yield Route("POST", f"{V2}/clients", clients.add, _admin("clients", "create"), management.ADD_CLIENT)
    yield Route("PUT", f"{V2}/clients", clients.change, _admin("clients", "update"), management.CHANGE_CLIENT)
    yield Route("DELETE", f"{V2}/clients/{{_id}}", clients.remove, _admin("clients", "delete"), management.REMOVE_CLIENT)
    yield Route("POST", f"{V2}/clients/{{_id}}/rotate", clients.rotate, _admin("clients", "update"), management.ROTATE_SECRET)

    device = f"{V2}/devices/{{_id}}"
    yield Route("GET", f"{V2}/devices", devices.all, _admin("devices", "read"), device_operations.DEVICES)
    yield Route("POST", f"{V2}/devices", devices.add, _admin("devices", "create"), device_operations.ADD_DEVICE)
    yield Route("PUT", f"{V2}/devices", devices.change, _admin("devices", "update"), device_operations.CHANGE_DEVICE)
    yield Route("GET", device, devices.find, _admin("devices", "read"), device_operations.DEVICE)
    yield Route("DELETE", device, devices.remove, _admin("devices", "delete"), device_operations.REMOVE_DEVICE)
    yield Route("GET", f"{device}/records", devices.records, _admin("devices", "read"), device_operations.DEVICE_RECORDS)
    yield Route("POST", f"{device}/rotate", devices.rotate, _admin("devices", "update"), device_operations.ROTATE_DEVICE)
    yield Route("POST", f"{device}/revoke", devices.revoke, _admin("devices", "update"), device_operations.REVOKE_DEVICE)
    yield Route("POST", f"{device}/pair", devices.pair, _admin("devices", "update"), device_operations.PAIR_DEVICE)

    if hub is not None:
        yield from _hub(hub)
    yield Route("GET", f"{UPDATE_FILES}{{file...}}", updates.file, FETCHING, waits=True)

    yield Route("POST", TOKEN, oauth2.token, PUBLIC)
    yield Route("POST", REVOKE, oauth2.revoke, PUBLIC)
    yield Route("POST", INTROSPECT, oauth2.introspect, PUBLIC)
    yield Route("GET", TOKEN_INFO, oauth2.token_info, PUBLIC)
    yield Route("POST", TOKEN_INFO, oauth2.token_info, PUBLIC)
    yield Route("POST", DEVICE_AUTHORIZATION, oauth2.device_authorization, PUBLIC)
    yield Route("GET", METADATA, oauth2.metadata, PUBLIC)
    yield Route("GET", AUTHORIZE, consent.ask, PAGE)
    yield Route("POST", AUTHORIZE, consent.decide, PERSONAL)
    yield Route("GET", DEVICE, device_codes.form, PERSONAL)
    yield Route("POST", DEVICE, device_codes.ask, PERSONAL)
    yield Route("POST", f"{DEVICE}/decide", device_codes.decide, PERSONAL)
    yield Route("GET", APPLICATIONS, applications.show, PERSONAL)
    yield Route("GET", f"{APPLICATIONS}/{{client}}/withdraw", applications.ask_withdrawal, PERSONAL)
    yield Route("POST", f"{APPLICATIONS}/{{client}}/withdraw", applications.withdraw, PERSONAL)

    yield Route("POST", "/api/requestAuthToken", people.request_token, PUBLIC, operations.REQUEST_TOKEN)
    yield Route("GET", f"{FIRST_INVITATION}{{code}}", first.form, PAGE)
    yield Route("POST", f"{FIRST_INVITATION}{{code}}", first.accept, PAGE)
    yield Route("GET", f"{INVITATION}{{code}}", invitation.form, PAGE)
    yield Route("POST", f"{INVITATION}{{code}}", invitation.accept, PAGE)
    yield Route("GET", LOGIN, login.form, PAGE)
    yield Route("POST", LOGIN, login.sign_in, PAGE)
    yield Route("POST", "/logout", login.sign_out, PAGE)
    yield Route("GET", ACCOUNT, account.show, PERSONAL)
    yield Route("POST", f"{ACCOUNT}/password", account.change_password, PERSONAL)
    yield Route("POST", f"{ACCOUNT}/sessions/end", account.end_session, PERSONAL)
    yield Route("POST", f"{ACCOUNT}/sessions/end-others", account.sign_out_elsewhere, PERSONAL)
    yield Route("GET", f"{LOGIN}/passkey/options", passkeys.sign_in_options, PAGE)
    yield Route("POST", f"{LOGIN}/passkey", passkeys.sign_in, PAGE)
    yield Route("GET", f"{ACCOUNT}/confirm/options", passkeys.confirm_options, PERSONAL)
    yield Route("POST", f"{ACCOUNT}/confirm", passkeys.confirm, PERSONAL)
    yield Route("GET", f"{ACCOUNT}/passkeys/options", passkeys.creation_options, PERSONAL)
    yield Route("POST", f"{ACCOUNT}/passkeys/add", passkeys.add, PERSONAL)
    yield Route("POST", f"{ACCOUNT}/passkeys/rename", passkeys.rename, PERSONAL)
    yield Route("POST", f"{ACCOUNT}/passkeys/remove", passkeys.remove, PERSONAL)

    yield Route("GET", PATH, live.poll, PUBLIC, waits=True, talk=live.talk)
    yield Route("POST", PATH, live.post, PUBLIC)

    yield Route("GET", f"{V3}/openapi.json", explorer.description, PUBLIC, operations.DESCRIPTION)
    yield Route("GET", EXPLORER, explorer.page, PAGE)
    yield Route("GET", DOCS_REDIRECT, explorer.redirect, PAGE)
    yield Route("GET", "/", front.show, PAGE)
    yield Route("GET", f"{STATIC}{{file}}", static.file, PUBLIC)
    yield Route("GET", ADMIN, start, PERSONAL)
    yield from _admin_pages(admin)


def _admin_pages(pages: AdminPages) -> Iterator[Route]:
    """Yield the pages of administration. What is dangerous is asked for by GET and done by POST."""
    subject, role, user = f"{SUBJECTS.path}/{{_id}}", f"{ROLES.path}/{{_id}}", f"{USERS.path}/{{_id}}"
    creates, reads, updates, deletes = (_page("subjects", action) for action in ACTIONS)
    subjects = pages.subjects
    yield Route("GET", SUBJECTS.path, subjects.all, reads)
    yield Route("GET", f"{SUBJECTS.path}/add", subjects.new, creates)
    yield Route("POST", f"{SUBJECTS.path}/add", subjects.add, creates)
    yield Route("GET", subject, subjects.show, reads)
    yield Route("POST", f"{subject}/token", subjects.token, reads)
    yield Route("POST", f"{subject}/change", subjects.change, updates)
    yield Route("GET", f"{subject}/rotate", subjects.ask_rotation, updates)
    yield Route("POST", f"{subject}/rotate", subjects.rotate, updates)
    yield Route("GET", f"{subject}/remove", subjects.ask_removal, deletes)
    yield Route("POST", f"{subject}/remove", subjects.remove, deletes)

    clients, client = pages.clients, f"{CLIENTS.path}/{{_id}}"
    creates, reads, updates, deletes = (_page("clients", action) for action in ACTIONS)
    yield Route("GET", CLIENTS.path, clients.all, reads)
    yield Route("GET", f"{CLIENTS.path}/add", clients.new, creates)
    yield Route("POST", f"{CLIENTS.path}/add", clients.add, creates)
    yield Route("GET", client, clients.show, reads)
    yield Route("POST", f"{client}/change", clients.change, updates)
    yield Route("GET", f"{client}/rotate", clients.ask_rotation, updates)
    yield Route("POST", f"{client}/rotate", clients.rotate, updates)
    yield Route("GET", f"{client}/remove", clients.ask_removal, deletes)
    yield Route("POST", f"{client}/remove", clients.remove, deletes)

    devices, device = pages.devices, f"{DEVICES.path}/{{_id}}"
    creates, reads, updates, deletes = (_page("devices", action) for action in ACTIONS)
    commands = Access((COMMAND,), page=True)
    yield Route("GET", DEVICES.path, devices.all, reads)
    yield Route("GET", f"{DEVICES.path}/add", devices.new, creates)
    yield Route("POST", f"{DEVICES.path}/add", devices.add, creates)
    yield Route("GET", device, devices.show, reads)
    yield Route("POST", f"{device}/change", devices.change, updates)
    yield Route("POST", f"{device}/pair", devices.pair, updates)
    yield Route("GET", f"{device}/rotate", devices.ask_rotation, updates)
    yield Route("POST", f"{device}/rotate", devices.rotate, updates)
    yield Route("GET", f"{device}/revoke", devices.ask_revocation, updates)
    yield Route("POST", f"{device}/revoke", devices.revoke, updates)
    yield Route("GET", f"{device}/remove", devices.ask_removal, deletes)
    yield Route("POST", f"{device}/remove", devices.remove, deletes)
    yield Route("POST", f"{device}/command", devices.command, commands)
    yield Route("POST", f"{device}/cancel", devices.cancel, commands)

    roles, creates = pages.roles, _page("roles", "create")
    yield Route("GET", ROLES.path, roles.all, _page("roles", "list"))
    yield Route("GET", f"{ROLES.path}/add", roles.new, creates)
    yield Route("POST", f"{ROLES.path}/add", roles.add, creates)
    yield Route("GET", role, roles.show, _page("roles", "list"))
    yield Route("POST", f"{role}/change", roles.change, _page("roles", "update"))
    yield Route("GET", f"{role}/remove", roles.ask_removal, _page("roles", "delete"))
    yield Route("POST", f"{role}/remove", roles.remove, _page("roles", "delete"))
    yield Route("GET", CHECK.path, pages.check.show, _page("permissions", "read"))

    users = pages.users
    creates, reads, updates, deletes = (_page("users", action) for action in ACTIONS)
    yield Route("GET", USERS.path, users.all, reads)
    yield Route("GET", f"{USERS.path}/add", users.new, creates)
    yield Route("POST", f"{USERS.path}/add", users.add, creates)
    yield Route("GET", user, users.show, reads)
    yield Route("POST", f"{user}/change", users.change, updates)
    yield Route("POST", f"{user}/invite", users.invite, updates)
    yield Route("GET", f"{user}/disable", users.ask_disabling, updates)
    yield Route("POST", f"{user}/disable", users.disable, updates)
    yield Route("POST", f"{user}/enable", users.enable, updates)
    yield Route("GET", f"{user}/remove", users.ask_removal, deletes)
    yield Route("POST", f"{user}/remove", users.remove, deletes)

    yield Route("GET", SESSIONS.path, pages.sessions.all, _page("sessions", "read"))
    yield Route("GET", f"{SESSIONS.path}/{{_id}}/end", pages.sessions.ask_end, _page("sessions", "delete"))
    yield Route("POST", f"{SESSIONS.path}/{{_id}}/end", pages.sessions.end, _page("sessions", "delete"))
    yield Route("GET", FAILURES.path, pages.trail.failures, _page("failures", "read"))
    yield Route("GET", AUDIT.path, pages.trail.audit, _page("audit", "read"))
    yield Route("GET", STATE.path, pages.state.show, _page("state", "read"))


def _hub(hub: HubEndpoints) -> Iterator[Route]:
    commands, giving = f"{HUB}/devices/{{_id}}/commands", Access((COMMAND,))
    yield Route("GET", HUB, hub.explain, PUBLIC, talk=hub.talk)
    yield Route("POST", f"{HUB}/enrol", hub.enrol, PUBLIC, device_operations.ENROL)
    yield Route("GET", commands, hub.commands, giving, device_operations.COMMANDS)
    yield Route("POST", commands, hub.command, giving, device_operations.GIVE_COMMAND)
    yield Route("GET", f"{HUB}/commands/{{command}}", hub.find_command, giving, device_operations.COMMAND)
    yield Route("POST", f"{HUB}/commands/{{command}}/cancel", hub.cancel, giving, device_operations.CANCEL_COMMAND)


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


def _page(kind: str, action: str) -> Access:
    return Access((administration(kind, action),), page=True)
