"""The endpoints of /api/v2/authorization/clients: applications that get tokens by OAuth2."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from apiv3.model.clients import Application, Client, GrantType
from apiv3.model.documents import Document
from apiv3.model.errors import BadRequest
from apiv3.model.identity import Subject
from apiv3.security.oauth2.clients import Clients
from apiv3.web import requests
from apiv3.web.administration import author, flag, text, texts, words
from apiv3.web.bodies import Limits, read_object
from apiv3.web.calls import Call
from apiv3.web.responses import Answer, json_answer


class ClientEndpoints:
    """The endpoints of clients. A secret stands in the one answer that makes it."""

    def __init__(self, clients: Clients, limits: Limits) -> None:
        self._clients, self._limits = clients, limits

    async def all(self, _call: Call) -> Answer:
        """List all applications, without their secrets."""
        return json_answer([shown(each) for each in await self._clients.all()])

    async def add(self, call: Call) -> Answer:
        """Add an application, and make its secret unless it is public."""
        body = await read_object(call, self._limits)
        client = _client(body, Client(""))
        subject = Subject(text(body, "_id"), text(body, "name"), texts(body, "roles", words), text(body, "notes"))
        added = await self._clients.add(client, subject, author(call), public=flag(body, "public") or False)
        return json_answer(shown(added.application, added.secret))

    async def change(self, call: Call) -> Answer:
        """Change the application with this `_id`. If it loses a scope or a grant, all its tokens end.

        If its redirect URIs change, people are asked for their consent again. Fields that are `null` or missing are left
        unchanged. `public` cannot be changed.
        """
        body = await read_object(call, self._limits)
        name, roles, notes = text(body, "name"), texts(body, "roles", words), text(body, "notes")
        _client(body, Client(""))  # malformed fields are refused before anything is looked up

        def change(stored: Application) -> Application:
            public = flag(body, "public")
            if public is not None and public != stored.client.is_public:
                raise BadRequest("Field public cannot be changed: register another application")
            subject = replace(
                stored.subject,
                name=stored.subject.name if body.get("name") is None else name,
                roles=stored.subject.roles if body.get("roles") is None else roles,
                notes=stored.subject.notes if body.get("notes") is None else notes,
            )
            return Application(_client(body, stored.client), subject)

        return json_answer(shown(await self._clients.change(text(body, "_id"), change, author(call))))

    async def rotate(self, call: Call) -> Answer:
        """Give an application a new secret. The old one and all its tokens stop working at once."""
        rotated = await self._clients.rotate(requests.identifier(call.params[-1]), author(call))
        return json_answer(shown(rotated.application, rotated.secret))

    async def remove(self, call: Call) -> Answer:
        """Remove an application. All its tokens stop working at once."""
        await self._clients.remove(requests.identifier(call.params[-1]), author(call))
        return json_answer({})


def shown(application: Application, secret: str | None = None) -> Document:
    """Return an application as JSON. `secret`: the one that was just made."""
    client, subject = application
    record: Document = {"_id": client.id, "client_id": client.id, "name": subject.name}
    record |= {"redirect_uris": client.redirects, "scopes": client.scopes, "grants": client.grants}
    record |= {"public": client.is_public, "introspect": client.introspects, "roles": subject.roles, "notes": subject.notes}
    record |= {"owner": client.owner, "created_at": subject.created_at}
    return record if secret is None else {**record, "client_secret": secret}


def _client(body: Document, stored: Client) -> Client:
    """Return a client with the fields of a body; the others stay. Raises BadRequest."""
    introspects = flag(body, "introspect")
    return replace(
        stored,
        redirects=_given(body, "redirect_uris", stored.redirects),
        scopes=_given(body, "scopes", stored.scopes),
        grants=cast("tuple[GrantType, ...]", _given(body, "grants", stored.grants)),
        introspects=stored.introspects if introspects is None else introspects,
    )


def _given(body: Document, field: str, stored: tuple[str, ...]) -> tuple[str, ...]:
    return stored if body.get(field) is None else texts(body, field, str.split)
