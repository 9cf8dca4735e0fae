"""Users: people with an account. Pages show the roles of people and do not change them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from apiv3.model.accounts import Person
from apiv3.model.errors import ApiError
from apiv3.model.identity import Subject
from apiv3.security.accounts.accounts import Accounts
from apiv3.security.policy import Policies
from apiv3.web import requests
from apiv3.web.administration import author
from apiv3.web.calls import Call
from apiv3.web.next_page import INVITATION, see_other
from apiv3.web.responses import Answer
from apiv3.web.site.admin.frame import REFUSALS, admin_page, confirmation, role_options, sentence, with_form_groups
from apiv3.web.site.forms import Forms
from apiv3.web.site.listings import Column, Listing
from apiv3.web.site.sections import USERS

_DONE = {
    "changed": "The account is changed.",
    "disabled": "The account is disabled.",
    "enabled": "The account is enabled.",
    "removed": "The account is removed.",
}


def _state(person: Person) -> str:
    if person.subject.disabled:
        return "disabled"
    return "active" if person.account.password else "invited"


_COLUMNS: Sequence[Column[Person]] = (
    Column("name", "Name", lambda person: person.subject.name),
    Column("email", "E-mail address", lambda person: person.account.email.address),
    Column("roles", "Roles", lambda person: ", ".join(person.subject.roles)),
    Column("state", "State", _state),
    Column("created", "Added", lambda person: person.subject.created_at),
)


class UserPages:
    """The endpoints. `base`: the URL under which people reach the server, for the links of invitations."""

    def __init__(self, accounts: Accounts, policies: Policies, forms: Forms, base: str) -> None:
        self._accounts, self._policies, self._forms, self._base = accounts, policies, forms, base

    async def all(self, call: Call) -> Answer:
        """Show everybody who has an account."""
        listing = Listing.of(call, _COLUMNS, "name").among(await self._accounts.all())
        notice = _DONE.get(call.query.one("done") or "", "")
        return admin_page(call, "users.html", listing=listing, state=_state, notice=notice)

    async def new(self, call: Call) -> Answer:
        """Show the form for a new person."""
        return self._add_form(call, "", Subject("", "", ()))

    async def add(self, call: Call) -> Answer:
        """Add a person, and show the link of the invitation."""
        form = await call.form()
        email, given = form.one("email") or "", Subject("", (form.one("name") or "").strip(), tuple(form.all("roles")))
        given = with_form_groups(given, form)
        names, groups, ous = (email, given.name, given.roles), given.groups, given.ous
        try:
            person, code = await self._accounts.add(*names, None, author(call), groups=groups, ous=ous)
        except REFUSALS as error:
            return self._add_form(call, email, given, error)
        return self._link(call, person, code or "", f"{person.subject.name} is added.")

    async def show(self, call: Call) -> Answer:
        """Show a person, with the form to change name and e-mail address."""
        return self._show(call, await self._find(call), notice=_DONE.get(call.query.one("done") or "", ""))

    async def change(self, call: Call) -> Answer:
        """Change the name, the e-mail address, the groups and the organisational units of a person."""
        person, form = await self._find(call), await call.form()
        name, email = (form.one("name") or "").strip(), form.one("email") or ""

        def changed(stored: Subject) -> Subject:
            return with_form_groups(replace(stored, name=name), form)

        try:
            await self._accounts.change(person.subject.id, changed, email, author(call))
        except REFUSALS as error:
            return self._show(call, person, error.status, complaint=sentence(error.message))
        return see_other(f"{_place(person)}?done=changed")

    async def invite(self, call: Call) -> Answer:
        """Make a new invitation, and show its link."""
        person = await self._find(call)
        try:
            person, code = await self._accounts.invite(person.subject.id, author(call))
        except REFUSALS as error:
            return self._show(call, person, error.status, complaint=sentence(error.message))
        notice = "A new invitation is made. Older ones are not good any more."
        return self._link(call, person, code, notice)

    async def ask_disabling(self, call: Call) -> Answer:
        """Ask whether an account shall be disabled."""
        person = await self._find(call)
        effects = [
            "Every session, token and invitation of this person ends within a second, and stays ended.",
            "The account stays, with its roles and its password, and can be enabled again.",
        ]
        return self._ask(call, person, f"Disable {person.subject.name}?", effects, "disable", "Disable the account")

    async def disable(self, call: Call) -> Answer:
        """Disable an account."""
        person = await self._find(call)
        try:
            await self._accounts.disable(person.subject.id, author(call))
        except REFUSALS as error:
            return self._show(call, person, error.status, complaint=sentence(error.message))
        return see_other(f"{_place(person)}?done=disabled")

    async def enable(self, call: Call) -> Answer:
        """Enable an account."""
        person = await self._find(call)
        try:
            await self._accounts.enable(person.subject.id, author(call))
        except REFUSALS as error:
            return self._show(call, person, error.status, complaint=sentence(error.message))
        return see_other(f"{_place(person)}?done=enabled")

    async def ask_removal(self, call: Call) -> Answer:
        """Ask whether an account shall be removed."""
        person = await self._find(call)
        effects = [
            "Every session, token and invitation of this person ends within a second. The account cannot be restored.",
            "Documents that the person has written stay, and the audit trail keeps the name.",
        ]
        return self._ask(call, person, f"Remove {person.subject.name}?", effects, "remove", "Remove the account")

    async def remove(self, call: Call) -> Answer:
        """Remove an account."""
        person = await self._find(call)
        try:
            await self._accounts.remove(person.subject.id, author(call))
        except REFUSALS as error:
            return self._show(call, person, error.status, complaint=sentence(error.message))
        return see_other(f"{USERS.path}?done=removed")

    async def _find(self, call: Call) -> Person:
        return await self._accounts.find(requests.identifier(call.params[-1]))

    def _show(self, call: Call, person: Person, status: int = 200, **said: str) -> Answer:
        nonces = {name: self._forms.nonce(call) for name in ("change", "invite", "enable")}
        own = person.subject.id == call.principal.id
        return admin_page(call, "user.html", status, person=person, state=_state(person), own=own, nonces=nonces, **said)

    def _add_form(self, call: Call, email: str, given: Subject, error: ApiError | None = None) -> Answer:
        return admin_page(
            call,
            "user-new.html",
            200 if error is None else error.status,
            email=email,
            given=given,
            roles=role_options(self._policies),
            complaint="" if error is None else sentence(error.message),
            nonce_value=self._forms.nonce(call),
        )

    def _link(self, call: Call, person: Person, code: str, notice: str) -> Answer:
        return admin_page(call, "invited.html", person=person, link=f"{self._base}{INVITATION}{code}", notice=notice)

    def _ask(self, call: Call, person: Person, question: str, effects: list[str], action: str, label: str) -> Answer:
        return confirmation(call, self._forms, question, effects, f"{_place(person)}/{action}", label, _place(person))


def _place(person: Person) -> str:
    return f"{USERS.path}/{person.subject.id}"
