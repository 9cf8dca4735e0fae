"""The endpoints of /api/v2/authorization: the token exchange, subjects, roles, permissions.

The first line of an endpoint's docstring is the summary of its routes in the OpenAPI description and on the page `/`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from apiv3.model import messages
from apiv3.model.audit import Actor
from apiv3.model.documents import Document
from apiv3.model.errors import AdministrationRefused, BadRequest, Unauthorized
from apiv3.model.identity import Role, Subject, Timestamp
from apiv3.security import advice
from apiv3.security.authenticator import Authenticator
from apiv3.security.authors import Author
from apiv3.security.credentials import Credential
from apiv3.security.logins import Logins
from apiv3.security.permissions import Demand, Permission, split
from apiv3.security.policy import Policies
from apiv3.security.subjects import Administration
from apiv3.security.tokens import Tokens
from apiv3.web import requests
from apiv3.web.bodies import Limits, read_object
from apiv3.web.calls import Call
from apiv3.web.responses import Answer, json_answer

_log = logging.getLogger(__name__)


class Authorization:
    """Exchanges access tokens for JWTs, lists permissions, and checks them."""

    def __init__(
        self, authenticator: Authenticator, policies: Policies, tokens: Tokens, demands: Sequence[Demand], logins: Logins
    ) -> None:
        self._authenticator, self._policies, self._tokens, self._logins = authenticator, policies, tokens, logins
        self._demanded = [demand.name for demand in demands]

    async def exchange(self, call: Call) -> Answer:
        """Exchange an access token, or a JWT that is still valid, for a new JWT."""
        secret = requests.identifier(call.params[-1])
        try:
            identity = await self._authenticator.identify(Credential(secret, "query", call.address))
        except Unauthorized as error:
            raise AdministrationRefused from error
        token, claims = self._tokens.sign(identity.access_token, int(time.time()))
        subject = self._policies.current.active(identity.principal.id or "")
        if subject is not None:  # otherwise it is gone since, and the JWT with it
            await self._logins.begin_jwt(subject, token, claims.expires * 1000, call.address)
        self._authenticator.vouch(token)  # it must be accepted even from a network where others guess tokens
        roles = self._policies.current.roles
        groups = [list(roles[name].permissions) for name in identity.principal.roles if name in roles]
        body = {"token": token, "sub": identity.principal.name, "permissionGroups": groups}
        return json_answer(body | {"iat": claims.issued, "exp": claims.expires})

    async def permissions(self, _call: Call) -> Answer:
        """List every permission that the server demands."""
        return json_answer(self._demanded)

    async def trie(self, _call: Call) -> Answer:
        """Show every permission that the server demands as a tree of its parts."""
        tree: dict[str, Any] = {}
        for permission in self._demanded:
            node = tree
            for part in permission.split(":"):
                node = node.setdefault(part, {})
        return json_answer(tree)

    async def check(self, call: Call) -> Answer:
        """Check whether the caller has a permission."""
        try:
            wanted = Permission.parse(requests.identifier(call.params[-1]))
        except ValueError as error:
            raise BadRequest(f"Malformed permission: {error}") from error
        return json_answer({"check": call.principal.holds(wanted)})


class Subjects:
    """The endpoints of subjects.

    `shows_tokens`: whether answers include access tokens, each to callers who hold every permission of the subject. False while
    security is switched off, when anybody may ask.
    """

    def __init__(self, administration: Administration, policies: Policies, limits: Limits, *, shows_tokens: bool) -> None:
        self._administration, self._policies, self._limits = administration, policies, limits
        self._shows_tokens = shows_tokens
        self._list = _List()

    async def all(self, call: Call) -> Answer:
        """List all subjects with their access tokens, except those that would give the caller further permissions."""
        snapshot = await self._policies.latest()
        return self._list((snapshot, call.principal), lambda: [self._shown(subject, call) for subject in snapshot.subjects])

    async def add(self, call: Call) -> Answer:
        """Add a subject. An `_id` that is sent is kept."""
        subject = await self._administration.add_subject(_subject(await read_object(call, self._limits)), author(call))
        return json_answer(self._stored(subject, call))

    async def change(self, call: Call) -> Answer:
        """Change the name, roles, notes, groups, units and timestamp rule of the subject with this `_id`.

        Roles that are `null`, and `groups`, `ous` and a `timestamp` that are `null` or missing, are left unchanged.
        """
        body = await read_object(call, self._limits)
        sent = _subject(body)

        def change(stored: Subject) -> Subject:
            roles = stored.roles if body.get("roles", ()) is None else sent.roles
            timestamp = stored.timestamp if body.get("timestamp") is None else sent.timestamp
            changed = replace(stored, name=sent.name, roles=roles, notes=sent.notes, timestamp=timestamp)
            return with_groups(changed, body)

        return json_answer(self._stored(await self._administration.change_subject(sent.id, change, author(call)), call))

    async def rotate(self, call: Call) -> Answer:
        """Give a subject a new access token. The old token and its JWTs stop working at once."""
        rotated = await self._administration.rotate(requests.identifier(call.params[-1]), author(call))
        return json_answer(self._shown(rotated, call))

    async def remove(self, call: Call) -> Answer:
        """Remove a subject. Its tokens stop working at once."""
        await self._administration.remove_subject(requests.identifier(call.params[-1]), author(call))
        return json_answer({})

    def _stored(self, subject: Subject, call: Call) -> Document:
        _warn(advice.on_subject(subject, self._policies.default_roles))
        return self._shown(subject, call)

    def _shown(self, subject: Subject, call: Call) -> Document:
        snapshot = self._policies.current
        shows = self._shows_tokens and snapshot.covers(call.principal, subject)
        token = {"accessToken": snapshot.token(subject)} if shows else {}
        kind = {"application": True} if subject.is_client else {"device": True} if subject.is_device else {}
        return {
            "_id": subject.id,
            "name": subject.name,
            "roles": subject.roles,
            "notes": subject.notes,
            "created_at": subject.created_at,
            "timestamp": subject.timestamp,
            "groups": subject.groups,
            "ous": subject.ous,
            **kind,
            **token,
        }


class Roles:
    """The endpoints of roles, the built-in ones and those of this installation. `demands`: all demands of the server."""

    def __init__(self, administration: Administration, policies: Policies, limits: Limits, demands: Sequence[Demand]) -> None:
        self._administration, self._policies, self._limits = administration, policies, limits
        self._demands = demands
        self._list = _List()

    async def all(self, _call: Call) -> Answer:
        """List all roles. The built-in ones have no `_id`."""
        snapshot = await self._policies.latest()
        return self._list(snapshot, lambda: [_shown_role(role) for role in snapshot.roles.values()])

    async def add(self, call: Call) -> Answer:
        """Add a role. One with the name of a built-in role replaces it."""
        role = await self._administration.add_role(_role(await read_object(call, self._limits)), author(call))
        return json_answer(self._stored(role))

    async def change(self, call: Call) -> Answer:
        """Change the name, permissions and notes of the role with this `_id`.

        Permissions that are `null` are left unchanged.
        """
        body = await read_object(call, self._limits)
        sent = _role(body)

        def change(stored: Role) -> Role:
            permissions = stored.permissions if body.get("permissions", ()) is None else sent.permissions
            return replace(stored, name=sent.name, permissions=permissions, notes=sent.notes)

        return json_answer(self._stored(await self._administration.change_role(sent.id, change, author(call))))

    async def remove(self, call: Call) -> Answer:
        """Remove a role. Refused while subjects have it."""
        await self._administration.remove_role(requests.identifier(call.params[-1]), author(call))
        return json_answer({})

    def _stored(self, role: Role) -> Document:
        _warn(advice.on_role(role, self._demands))
        return _shown_role(role)


class _List:
    """The answer with a list. It is made once for what it depends on, so that requests whose answers wait share one body."""

    def __init__(self) -> None:
        self._source: object = None
        self._answer: Answer | None = None

    def __call__(self, source: object, make: Callable[[], list[Document]]) -> Answer:
        if self._answer is None or self._source != source:
            self._source, self._answer = source, json_answer(make())
        return self._answer


def author(call: Call) -> Author:
    """Who calls, for what they change."""
    who, way = call.principal, "" if call.identity is None else call.identity.way
    return Author(Actor(who.id, who.name or "anybody", way, call.address), who)


def _warn(sentences: Iterable[str]) -> None:
    """Log warnings about a stored object. The protocol has no place for them in the answer."""
    for sentence in sentences:
        _log.warning("%s", sentence)


def _shown_role(role: Role) -> Document:
    shown = {"name": role.name, "permissions": role.permissions, "notes": role.notes}
    return shown if role.id is None else {"_id": role.id, **shown, "created_at": role.created_at}


def _subject(body: Document) -> Subject:
    found = {field: text(body, field) for field in ("_id", "name", "notes", "created_at")}
    roles = texts(body, "roles", words)
    subject = Subject(found["_id"], found["name"], roles, found["notes"], found["created_at"])
    return with_groups(replace(subject, timestamp=_timestamp(body)), body)


def with_groups(subject: Subject, body: Document) -> Subject:
    """Return a subject with the groups and organisational units that a body has; otherwise they stay. Raises BadRequest."""
    given = {"groups": subject.groups, "ous": subject.ous}
    for field in given:
        if isinstance(body.get(field), str):
            raise BadRequest(f"Bad {field}: it must be a list of texts")
        if body.get(field) is not None:
            given[field] = texts(body, field, words)
    return replace(subject, groups=given["groups"], ous=given["ous"])


def _role(body: Document) -> Role:
    found = {field: text(body, field) for field in ("_id", "name", "notes", "created_at")}
    return Role(found["name"], texts(body, "permissions", split), found["notes"], found["_id"], found["created_at"])


def text(body: Document, field: str) -> str:
    """Return the text of a field, empty if it is missing or null. Raises BadRequest."""
    value = body.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRequest(f"Bad {field}: it must be a text")
    return value


def words(text: str) -> list[str]:
    """Return the words of a text, between which there are blanks or commas."""
    return text.replace(",", " ").split()


def _timestamp(body: Document) -> Timestamp:
    match body.get("timestamp"):
        case None | "required":
            return "required"
        case "optional":
            return "optional"
    raise BadRequest(messages.BAD_SUBJECT_TIMESTAMP)


def texts(body: Document, field: str, split: Callable[[str], Sequence[str]]) -> tuple[str, ...]:
    """Return the texts of a field, also of one text that `split` divides; none if it is missing or null. Raises BadRequest."""
    value = body.get(field)
    if value is None:
        return ()
    if isinstance(value, str):  # Nightscout's admin tools send one text with blanks or commas in it
        return tuple(split(value))
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise BadRequest(f"Bad {field}: it must be a list of texts")
    return tuple(value)


def flag(body: Document, field: str) -> bool | None:
    """Return the truth value of a field, None if it is missing or null. Raises BadRequest."""
    value = body.get(field)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"Bad {field}: it must be true or false")
    return value
