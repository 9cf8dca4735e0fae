"""The endpoints of /api/v2/authorization/users: people and their accounts."""

from __future__ import annotations

from dataclasses import replace

from apiv3.model.accounts import Person
from apiv3.model.documents import Document
from apiv3.model.identity import Subject
from apiv3.security.accounts.accounts import Accounts
from apiv3.web import requests
from apiv3.web.administration import author, flag, text, texts, with_groups, words
from apiv3.web.bodies import Limits, read_object
from apiv3.web.calls import Call
from apiv3.web.next_page import INVITATION
from apiv3.web.responses import Answer, json_answer


class Users:
    """The endpoints of people. None of them sets a password: the person does so, with an invitation."""

    def __init__(self, accounts: Accounts, limits: Limits) -> None:
        self._accounts, self._limits = accounts, limits

    async def all(self, _call: Call) -> Answer:
        """List everybody who has an account."""
        return json_answer([shown(person) for person in await self._accounts.all()])

    async def add(self, call: Call) -> Answer:
        """Add a person, and make an invitation: the path of a link that is good once, for 72 hours."""
        body = await read_object(call, self._limits)
        name, roles = text(body, "name"), texts(body, "roles", words)
        given, email = with_groups(Subject("", name, roles), body), text(body, "email")
        groups, ous = given.groups, given.ous
        person, code = await self._accounts.add(email, name, roles, None, author(call), groups=groups, ous=ous)
        return json_answer(shown(person, code))

    async def change(self, call: Call) -> Answer:
        """Change the name, e-mail address, roles, groups and units of a person by `_id`, or disable or enable the account.

        Fields that are `null` or missing are left unchanged.
        """
        body = await read_object(call, self._limits)
        name, address, roles = text(body, "name"), text(body, "email"), texts(body, "roles", words)
        disabled = flag(body, "disabled")

        def change(stored: Subject) -> Subject:
            changed = replace(
                stored,
                name=stored.name if body.get("name") is None else name,
                roles=stored.roles if body.get("roles") is None else roles,
                disabled=stored.disabled if disabled is None else disabled,
            )
            return with_groups(changed, body)

        sent = None if body.get("email") is None else address
        return json_answer(shown(await self._accounts.change(text(body, "_id"), change, sent, author(call))))

    async def remove(self, call: Call) -> Answer:
        """Remove a person, account and subject. All credentials of the person stop working at once."""
        await self._accounts.remove(requests.identifier(call.params[-1]), author(call))
        return json_answer({})

    async def invite(self, call: Call) -> Answer:
        """Make a new invitation, also for a forgotten password. It replaces any older one."""
        return json_answer(shown(*await self._accounts.invite(requests.identifier(call.params[-1]), author(call))))


def shown(person: Person, code: str | None = None) -> Document:
    """Return a person as JSON. `code`: of an invitation that was just made."""
    subject, account = person
    record: Document = {"_id": subject.id, "name": subject.name, "email": account.email.address, "roles": list(subject.roles)}
    record |= {"groups": list(subject.groups), "ous": list(subject.ous)}
    record |= {"disabled": subject.disabled, "created_at": subject.created_at}
    return record if code is None else {**record, "invitation": f"{INVITATION}{code}"}
