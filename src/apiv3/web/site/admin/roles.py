"""Roles: the built-in ones and those of this installation, with their permissions and with who has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import quote

from apiv3.model.errors import ApiError, NotFound
from apiv3.model.identity import Role, Subject
from apiv3.security import advice
from apiv3.security.permissions import Demand
from apiv3.security.policy import Policies
from apiv3.security.subjects import BUILT_IN, Administration
from apiv3.web import requests
from apiv3.web.administration import author
from apiv3.web.calls import Call
from apiv3.web.next_page import see_other
from apiv3.web.parameters import Parameters
from apiv3.web.responses import Answer
from apiv3.web.site.admin.frame import REFUSALS, admin_page, confirmation, sentence
from apiv3.web.site.forms import Forms
from apiv3.web.site.listings import Column, Listing
from apiv3.web.site.sections import ROLES

_COLUMNS: Sequence[Column[Role]] = (
    Column("name", "Name", lambda role: role.name),
    Column("permissions", "Permissions", lambda role: " ".join(role.permissions)),
    Column("notes", "Notes", lambda role: role.notes),
    Column("kind", "Kind", lambda role: "built-in" if role.id is None else "of this installation"),
)
_DONE = {"added": "The role is added.", "changed": "The role is changed.", "removed": "The role is removed."}
_MOST_SHOWN = 50
"""Most subjects that are named as having a role."""


class RolePages:
    """The endpoints. A stored role has its id in its address, a built-in one its name. `demands`: all demands of the server."""

    def __init__(self, administration: Administration, policies: Policies, demands: Sequence[Demand], forms: Forms) -> None:
        self._administration, self._policies, self._demands, self._forms = administration, policies, demands, forms

    async def all(self, call: Call) -> Answer:
        """Show all roles with their permissions."""
        await self._policies.catch_up()
        listing = Listing.of(call, _COLUMNS, "name").among(self._policies.current.roles.values())
        notice = _DONE.get(call.query.one("done") or "", "")
        return admin_page(call, "roles.html", listing=listing, address=_address, notice=notice)

    async def new(self, call: Call) -> Answer:
        """Show the form for a new role; with the parameter `name`, one in place of a built-in role."""
        return self._add_form(call, BUILT_IN.get(call.query.one("name") or "", Role("", ())))

    async def add(self, call: Call) -> Answer:
        """Add a role."""
        sent = _sent(await call.form(), Role("", (), id=""))
        try:
            added = await self._administration.add_role(sent, author(call))
        except REFUSALS as error:
            return self._add_form(call, sent, error)
        return see_other(f"{_address(added)}?done=added")

    async def show(self, call: Call) -> Answer:
        """Show a role, with the form to change it."""
        role = await self._find(call)
        return self._show(call, role, notice=_DONE.get(call.query.one("done") or "", ""))

    async def change(self, call: Call) -> Answer:
        """Change the name, permissions and notes of a role."""
        stored, form = await self._find_stored(call), await call.form()
        try:
            await self._administration.change_role(stored.id, lambda found: _sent(form, found), author(call))
        except REFUSALS as error:
            return self._show(call, _sent(form, stored), error.status, complaint=sentence(error.message))
        return see_other(f"{_address(stored)}?done=changed")

    async def ask_removal(self, call: Call) -> Answer:
        """Ask whether a role shall be removed."""
        role = await self._find_stored(call)
        effects = ["Its permissions are lost with it. It can only be removed while nobody has it."]
        if role.name in BUILT_IN:
            effects = ["The built-in role of this name takes its place, for everybody who has it, within a second."]
        question, place = f"Remove the role {role.name}?", _address(role)
        return confirmation(call, self._forms, question, effects, f"{place}/remove", "Remove the role", place)

    async def remove(self, call: Call) -> Answer:
        """Remove a role."""
        role = await self._find_stored(call)
        try:
            await self._administration.remove_role(role.id or "", author(call))
        except REFUSALS as error:
            return self._show(call, role, error.status, complaint=sentence(error.message))
        return see_other(f"{ROLES.path}?done=removed")

    async def _find(self, call: Call) -> Role:
        key = requests.identifier(call.params[-1])
        await self._policies.catch_up()
        for role in self._policies.current.roles.values():
            if key == (role.id or role.name):
                return role
        raise NotFound("There is no such role")

    async def _find_stored(self, call: Call) -> Role:
        role = await self._find(call)
        if role.id is None:
            raise NotFound("A built-in role cannot be changed or removed; add a role with its name instead")
        return role

    def _show(self, call: Call, role: Role, status: int = 200, **said: str) -> Answer:
        holders: list[Subject] = [each for each in self._policies.current.subjects if role.name in each.roles]
        return admin_page(
            call,
            "role.html",
            status,
            role=role,
            holders=holders[:_MOST_SHOWN],
            more=max(0, len(holders) - _MOST_SHOWN),
            warnings=list(map(sentence, advice.on_role(role, self._demands))) if role.id else [],
            demands=[demand.name for demand in self._demands],
            address=_address(role),
            nonce_value=self._forms.nonce(call),
            **said,
        )

    def _add_form(self, call: Call, role: Role, error: ApiError | None = None) -> Answer:
        return admin_page(
            call,
            "role-new.html",
            200 if error is None else error.status,
            role=role,
            demands=[demand.name for demand in self._demands],
            complaint="" if error is None else sentence(error.message),
            nonce_value=self._forms.nonce(call),
        )


def _address(role: Role) -> str:
    return f"{ROLES.path}/{role.id or quote(role.name, safe='')}"


def _sent(form: Parameters, stored: Role) -> Role:
    """Return a stored role with the values of a form, which has one permission on each line."""
    permissions = tuple(filter(None, map(str.strip, (form.one("permissions") or "").splitlines())))
    notes = (form.one("notes") or "").replace("\r\n", "\n").strip()
    return replace(stored, name=(form.one("name") or "").strip(), permissions=permissions, notes=notes)
