"""Clients: applications that get tokens by OAuth2. Pages call them applications."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from apiv3.model.clients import Application, Client, GrantType
from apiv3.model.errors import ApiError
from apiv3.model.identity import Subject
from apiv3.security.oauth2.clients import DEFAULT_SCOPES, Clients
from apiv3.security.oauth2.scopes import ScopeTable
from apiv3.security.policy import Policies
from apiv3.web import requests
from apiv3.web.administration import author
from apiv3.web.calls import Call
from apiv3.web.next_page import see_other
from apiv3.web.parameters import Parameters
from apiv3.web.responses import Answer
from apiv3.web.site.admin.frame import REFUSALS, admin_page, confirmation, role_options, sentence
from apiv3.web.site.forms import Forms
from apiv3.web.site.listings import Column, Listing
from apiv3.web.site.sections import CLIENTS

_COLUMNS: Sequence[Column[Application]] = (
    Column("name", "Name", lambda found: found.subject.name),
    Column("kind", "Kind", lambda found: "public" if found.client.is_public else "confidential"),
    Column("scopes", "Scopes", lambda found: ", ".join(found.client.scopes)),
    Column("redirects", "Redirect URIs", lambda found: " ".join(found.client.redirects)),
    Column("created", "Added", lambda found: found.subject.created_at),
)
_SHOWN = 100
"""Most grants of an application that its page shows."""
_DONE = {"changed": "The application is changed.", "removed": "The application is removed."}
_KINDS = (
    ("confidential", "keeps a secret: a program on a server"),
    ("public", "cannot keep a secret: an app on a phone, a page, a device"),
)
_GRANTS: Sequence[tuple[GrantType, str, str]] = (
    ("authorization_code", "authorization_code", "People sign in here, allow it, and are sent back to a redirect URI."),
    ("refresh_token", "refresh_token", "It stays signed in, with the scope offline_access or if it is public."),
    ("device_code", "device_code", "A device shows a code, which a person types here."),
    ("client_credentials", "client_credentials", "It acts for itself, with its own roles."),
    ("password", "password", "It takes people's passwords. Works only with OAUTH_PASSWORD_GRANT."),
)


class ClientPages:
    """The endpoints."""

    def __init__(self, clients: Clients, policies: Policies, scopes: ScopeTable, forms: Forms) -> None:
        self._clients, self._policies, self._scopes, self._forms = clients, policies, scopes, forms

    async def all(self, call: Call) -> Answer:
        """Show all applications."""
        listing = Listing.of(call, _COLUMNS, "name").among(await self._clients.all())
        return admin_page(call, "clients.html", listing=listing, notice=_DONE.get(call.query.one("done") or "", ""))

    async def new(self, call: Call) -> Answer:
        """Show the form for a new application."""
        return self._add_form(call, Application(Client("", scopes=DEFAULT_SCOPES), Subject("", "", ())), "confidential")

    async def add(self, call: Call) -> Answer:
        """Add an application, and show its client_id and its secret."""
        form = await call.form()
        sent, kind = _sent(form, Application(Client(""), Subject("", "", ()))), form.one("kind") or "confidential"
        try:
            added = await self._clients.add(sent.client, sent.subject, author(call), public=kind == "public")
        except REFUSALS as error:
            return self._add_form(call, sent, kind, error)
        return self._secret(call, added.application, added.secret, f"{added.application.subject.name} is added.")

    async def show(self, call: Call) -> Answer:
        """Show an application, with the form to change it."""
        found = await self._find(call)
        return await self._show(call, found, found, notice=_DONE.get(call.query.one("done") or "", ""))

    async def change(self, call: Call) -> Answer:
        """Change an application. Its kind stays."""
        stored, form = await self._find(call), await call.form()
        try:
            await self._clients.change(stored.client.id, lambda found: _sent(form, found), author(call))
        except REFUSALS as error:
            return await self._show(call, stored, _sent(form, stored), error.status, complaint=sentence(error.message))
        return see_other(f"{_place(stored)}?done=changed")

    async def ask_rotation(self, call: Call) -> Answer:
        """Ask whether an application shall get a new secret."""
        found = await self._find(call)
        effects = [
            "The old secret and all tokens of the application stop working within a second. People are asked again.",
            "The application has to be given the new secret. This cannot be undone.",
        ]
        return self._ask(call, found, f"Give {found.subject.name} a new secret?", effects, "rotate", "Make a new secret")

    async def rotate(self, call: Call) -> Answer:
        """Give an application a new secret, and show it."""
        found = await self._find(call)
        try:
            rotated = await self._clients.rotate(found.client.id, author(call))
        except REFUSALS as error:
            return await self._show(call, found, found, error.status, complaint=sentence(error.message))
        notice = "The old secret does not work any more. This is the new one."
        return self._secret(call, rotated.application, rotated.secret, notice)

    async def ask_removal(self, call: Call) -> Answer:
        """Ask whether an application shall be removed."""
        found = await self._find(call)
        effects = [
            "All its tokens stop working within a second, for everybody who has allowed it.",
            "Documents that it has written stay. The application itself cannot be restored.",
        ]
        return self._ask(call, found, f"Remove {found.subject.name}?", effects, "remove", "Remove the application")

    async def remove(self, call: Call) -> Answer:
        """Remove an application."""
        found = await self._find(call)
        try:
            await self._clients.remove(found.client.id, author(call))
        except REFUSALS as error:
            return await self._show(call, found, found, error.status, complaint=sentence(error.message))
        return see_other(f"{CLIENTS.path}?done=removed")

    async def _find(self, call: Call) -> Application:
        return await self._clients.find(requests.identifier(call.params[-1]))

    async def _show(self, call: Call, stored: Application, shown: Application, status: int = 200, **said: str) -> Answer:
        """Return the page of an application. `shown`: with what was typed, where that was refused."""
        held = await self._clients.grants(stored.client.id)
        names = {subject.id: subject.name for subject in self._policies.current.subjects}
        return admin_page(
            call,
            "client.html",
            status,
            stored=stored,
            shown=shown,
            owner=names.get(stored.client.owner or "", stored.client.owner) or "the command line",
            held=[(names.get(grant.subject, ""), grant) for grant in held[:_SHOWN]],
            more=max(0, len(held) - _SHOWN),
            nonce_value=self._forms.nonce(call),
            **self._options(shown),
            **said,
        )

    def _add_form(self, call: Call, sent: Application, kind: str, error: ApiError | None = None) -> Answer:
        return admin_page(
            call,
            "client-new.html",
            200 if error is None else error.status,
            shown=sent,
            kind=kind,
            kinds=_KINDS,
            complaint="" if error is None else sentence(error.message),
            nonce_value=self._forms.nonce(call),
            **self._options(sent),
        )

    def _options(self, shown: Application) -> dict[str, object]:
        named = [(name, name, ", ".join(texts) or "stay signed in") for name, texts in self._scopes.texts.items()]
        others = [scope for scope in shown.client.scopes if scope not in self._scopes.texts]
        return {"named": named, "others": others, "grants": _GRANTS, "roles": role_options(self._policies)}

    def _secret(self, call: Call, application: Application, secret: str | None, notice: str) -> Answer:
        return admin_page(call, "client-secret.html", stored=application, secret=secret, notice=notice)

    def _ask(self, call: Call, found: Application, question: str, effects: list[str], action: str, label: str) -> Answer:
        return confirmation(call, self._forms, question, effects, f"{_place(found)}/{action}", label, _place(found))


def _place(application: Application) -> str:
    return f"{CLIENTS.path}/{application.client.id}"


def _sent(form: Parameters, stored: Application) -> Application:
    """Return a stored application with the values of a form."""
    client = replace(
        stored.client,
        redirects=_lines(form, "redirects"),
        scopes=(*form.all("scopes"), *(form.one("permissions") or "").split()),
        grants=cast("tuple[GrantType, ...]", tuple(form.all("grants"))),
        introspects=form.one("introspects") == "true",
    )
    notes = (form.one("notes") or "").replace("\r\n", "\n").strip()
    name = (form.one("name") or "").strip()
    return Application(client, replace(stored.subject, name=name, roles=tuple(form.all("roles")), notes=notes))


def _lines(form: Parameters, field: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, (form.one(field) or "").splitlines())))
