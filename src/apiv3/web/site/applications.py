"""What people have allowed applications to do, and how they withdraw it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from apiv3.model.errors import NotFound
from apiv3.model.grants import Grant, Scopes
from apiv3.model.identity import Subject
from apiv3.security.oauth2.authorization import Authorization
from apiv3.security.oauth2.clients import Clients
from apiv3.security.policy import Policies
from apiv3.web import requests
from apiv3.web.administration import author
from apiv3.web.calls import Call
from apiv3.web.next_page import see_other
from apiv3.web.responses import Answer
from apiv3.web.site.account import ACCOUNT, person_of
from apiv3.web.site.admin.frame import confirmation
from apiv3.web.site.forms import Forms
from apiv3.web.site.pages import page
from apiv3.web.site.scope_words import ScopeWords

APPLICATIONS = f"{ACCOUNT}/applications"


class Row(NamedTuple):
    """One application of the person. `since`, `seen`: ms; None while it has no token."""

    client: str
    name: str
    sentences: Sequence[str]
    since: int | None
    seen: int | None


class OwnRow(NamedTuple):
    """One grant of an application that the person has registered. `subject`: who has allowed it."""

    name: str
    subject: str
    scopes: Scopes
    since: int
    seen: int


class ApplicationPages:
    """The endpoints of `/account/applications`."""

    def __init__(
        self, authorization: Authorization, clients: Clients, policies: Policies, words: ScopeWords, forms: Forms
    ) -> None:
        self._authorization, self._clients, self._policies = authorization, clients, policies
        self._words, self._forms = words, forms

    async def show(self, call: Call) -> Answer:
        """Show the applications that may act for the person, and who uses those that the person has registered."""
        subject = await person_of(call, self._policies)
        allowed = await self._authorization.allowed(subject)
        rows = [await self._row(client, scopes, grants) for client, (scopes, grants) in sorted(allowed.items())]
        notice = "The application may not act for you any more." if call.query.one("done") else ""
        return page(call, "applications.html", rows=rows, own=await self._own(subject), notice=notice)

    async def ask_withdrawal(self, call: Call) -> Answer:
        """Ask whether an application shall not act for the person any more."""
        client = requests.identifier(call.params[-1])
        if client not in await self._authorization.allowed(await person_of(call, self._policies)):
            raise NotFound("There is no such application")
        name = await self._name(client)
        effects = [f"All tokens that {name} has for you end at once. It can ask you again."]
        action = f"{APPLICATIONS}/{client}/withdraw"
        return confirmation(call, self._forms, f"Withdraw {name}?", effects, action, "Withdraw it", APPLICATIONS)

    async def withdraw(self, call: Call) -> Answer:
        """End all that the person has allowed an application."""
        client = requests.identifier(call.params[-1])
        subject = await person_of(call, self._policies)
        if client not in await self._authorization.allowed(subject):
            raise NotFound("There is no such application")
        await self._authorization.withdraw(client, subject, author(call))
        return see_other(f"{APPLICATIONS}?done=withdrawn")

    async def _row(self, client: str, scopes: Scopes, grants: Sequence[Grant]) -> Row:
        since, seen = _first(grants), max((grant.seen for grant in grants), default=None)
        return Row(client, await self._name(client), self._words.sentences(scopes), since, seen)

    async def _own(self, subject: Subject) -> list[OwnRow]:
        rows = []
        for client, owned in [each for each in await self._clients.all() if each.client.owner == subject.id]:
            for grant in await self._clients.grants(client.id):
                holder = self._policies.current.active(grant.subject)
                if holder is not None:
                    rows.append(OwnRow(owned.name, holder.name, grant.scopes, grant.begun, grant.seen))
        return rows

    async def _name(self, client: str) -> str:
        application = await self._authorization.find(client)
        return client if application is None else application.subject.name


def _first(grants: Iterable[Grant]) -> int | None:
    return min((grant.begun for grant in grants), default=None)
