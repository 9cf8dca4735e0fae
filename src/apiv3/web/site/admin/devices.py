"""Devices: what they are, what they told, and commands for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import segno
from markupsafe import Markup

from apiv3.hub.commands import Commands
from apiv3.model.devices import OPEN, Machine, RecordKind
from apiv3.model.errors import ApiError, BadRequest, NotFound
from apiv3.model.identity import Subject
from apiv3.model.timestamps import now
from apiv3.security.demands import COMMAND
from apiv3.security.devices.devices import Devices, Paired, is_connected
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
from apiv3.web.site.sections import DEVICES

_DAY = 86_400_000
_SHOWN: dict[RecordKind, int] = {"log": 100, "alarm": 10, "state": 10}
"""Most records of each kind on the page of a device."""
_COMMANDS = 20
"""Most commands on the page of a device."""
_DONE = {
    "changed": "The device is changed.",
    "removed": "The device is removed.",
    "revoked": "The device is cut off. None of its keys is ever taken again.",
    "rotated": "The device is asked for a new key.",
    "commanded": "The command is on its way.",
    "cancelled": "The command is cancelled.",
}


def _state(machine: Machine) -> str:
    if machine.subject.disabled:
        return "disabled"
    if machine.device.state != "active":
        return {"waiting": "waits for its key", "revoked": "revoked"}[machine.device.state]
    return "connected" if is_connected(machine.device, now()) else "not connected"


_COLUMNS: Sequence[Column[Machine]] = (
    Column("name", "Name", lambda found: found.subject.name),
    Column("state", "State", _state),
    Column("roles", "Roles", lambda found: ", ".join(found.subject.roles)),
    Column("seen", "Last seen", lambda found: found.device.seen),
    Column("address", "Address", lambda found: found.device.address),
    Column("software", "Software", lambda found: found.device.software),
)


class DevicePages:
    """The endpoints."""

    def __init__(self, devices: Devices, commands: Commands, policies: Policies, forms: Forms) -> None:
        self._devices, self._commands, self._policies, self._forms = devices, commands, policies, forms

    async def all(self, call: Call) -> Answer:
        """Show all devices: whether they are connected, from where, and with what."""
        listing = Listing.of(call, _COLUMNS, "name").among(await self._devices.all())
        done = _DONE.get(call.query.one("done") or "", "")
        return admin_page(call, "devices.html", listing=listing, notice=done, state=_state, is_fought_over=_is_fought_over)

    async def new(self, call: Call) -> Answer:
        """Show the form for a new device."""
        return self._add_form(call, Subject("", "", ()))

    async def add(self, call: Call) -> Answer:
        """Add a device, and show its pairing code."""
        sent = _sent(await call.form(), Subject("", "", ()))
        try:
            added = await self._devices.add(sent, None, author(call))
        except REFUSALS as error:
            return self._add_form(call, sent, error)
        return _paired(call, added, f"{sent.name} is added.")

    async def show(self, call: Call) -> Answer:
        """Show a device with what it told and its commands, and the forms to change it and to command it."""
        found = await self._find(call)
        return await self._show(call, found, notice=_DONE.get(call.query.one("done") or "", ""))

    async def change(self, call: Call) -> Answer:
        """Change the name, roles and notes of a device, or disable it."""
        stored, form = await self._find(call), await call.form()
        try:
            await self._devices.change(stored.device.id, lambda found: _sent(form, found), author(call))
        except REFUSALS as error:
            typed = Machine(stored.device, _sent(form, stored.subject))
            return await self._show(call, stored, typed, error.status, complaint=sentence(error.message))
        return see_other(f"{_place(stored)}?done=changed")

    async def pair(self, call: Call) -> Answer:
        """Give a device a new pairing code, and show it."""
        return await self._paired_anew(call, await self._find(call))

    async def ask_rotation(self, call: Call) -> Answer:
        """Ask whether a device shall get a new key."""
        found = await self._find(call)
        effects = [
            "The device makes a new key by itself, at once if it is connected. It has a week.",
            "The old key works until the device connects with the new one.",
        ]
        return self._ask(call, found, f"Ask {found.subject.name} for a new key?", effects, "rotate", "Ask for a new key")

    async def rotate(self, call: Call) -> Answer:
        """Ask a device for a new key."""
        found = await self._find(call)
        try:
            await self._devices.rotate(found.device.id, author(call))
        except REFUSALS as error:
            return await self._show(call, found, status=error.status, complaint=sentence(error.message))
        return see_other(f"{_place(found)}?done=rotated")

    async def ask_revocation(self, call: Call) -> Answer:
        """Ask whether a device shall be cut off."""
        found = await self._find(call)
        effects = [
            "The device is cut off within a second, and its key is never taken again.",
            "It keeps its name, roles, log and documents. A new pairing code lets it in again, with another key.",
        ]
        return self._ask(call, found, f"Cut {found.subject.name} off?", effects, "revoke", "Revoke its key")

    async def revoke(self, call: Call) -> Answer:
        """End the keys of a device, and its connection."""
        found = await self._find(call)
        try:
            await self._devices.revoke(found.device.id, author(call))
        except REFUSALS as error:
            return await self._show(call, found, status=error.status, complaint=sentence(error.message))
        return see_other(f"{_place(found)}?done=revoked")

    async def ask_removal(self, call: Call) -> Answer:
        """Ask whether a device shall be removed."""
        found = await self._find(call)
        effects = [
            "The device is cut off within a second, and its key is never taken again.",
            "Its log, alarms, states and commands are deleted. Documents that it has sent stay.",
        ]
        return self._ask(call, found, f"Remove {found.subject.name}?", effects, "remove", "Remove the device")

    async def remove(self, call: Call) -> Answer:
        """Remove a device."""
        found = await self._find(call)
        try:
            await self._devices.remove(found.device.id, author(call))
        except REFUSALS as error:
            return await self._show(call, found, status=error.status, complaint=sentence(error.message))
        return see_other(f"{DEVICES.path}?done=removed")

    async def command(self, call: Call) -> Answer:
        """Give a device a command."""
        found, form = await self._find(call), await call.form()
        typed = {field: (form.one(field) or "").strip() for field in ("command", "arguments", "minutes")}
        try:
            arguments, expires = _arguments(typed["arguments"]), now() + _minutes(typed["minutes"]) * 60_000
            await self._commands.give(found.device.id, typed["command"], arguments, expires, author(call))
        except REFUSALS as error:
            return await self._show(call, found, status=error.status, complaint=sentence(error.message), typed=typed)
        return see_other(f"{_place(found)}?done=commanded")

    async def cancel(self, call: Call) -> Answer:
        """Cancel a command."""
        found, form = await self._find(call), await call.form()
        try:
            await self._commands.cancel(form.one("command") or "", author(call))
        except (*REFUSALS, NotFound) as error:
            return await self._show(call, found, status=error.status, complaint=sentence(error.message))
        return see_other(f"{_place(found)}?done=cancelled")

    async def _find(self, call: Call) -> Machine:
        return await self._devices.find(requests.identifier(call.params[-1]))

    async def _show(self, call: Call, stored: Machine, shown: Machine | None = None, status: int = 200, **said: Any) -> Answer:
        """Return the page of a device. `shown`: with what was typed, where that was refused."""
        may_command = call.principal.allows(COMMAND)
        commands = await self._commands.of(stored.device.id, author(call)) if may_command else ()
        search = (call.query.one("search") or "").strip()
        records = {
            kind: await self._devices.records(stored.device.id, kind, None, search if kind == "log" else "", most)
            for kind, most in _SHOWN.items()
        }
        context = {"typed": {"command": "", "arguments": "", "minutes": "60"}, **said}
        return admin_page(
            call,
            "device.html",
            status,
            stored=stored,
            shown=shown or stored,
            state=_state(stored),
            fought_over=_is_fought_over(stored),
            roles=role_options(self._policies),
            records=records,
            search=search,
            may_command=may_command,
            commands=[(each, self._forms.nonce(call) if each.state in OPEN else "") for each in commands[:_COMMANDS]],
            nonces={form: self._forms.nonce(call) for form in ("change", "pair", "command")},
            **context,
        )

    def _add_form(self, call: Call, sent: Subject, error: ApiError | None = None) -> Answer:
        return admin_page(
            call,
            "device-new.html",
            200 if error is None else error.status,
            subject=sent,
            roles=role_options(self._policies),
            complaint="" if error is None else sentence(error.message),
            nonce_value=self._forms.nonce(call),
        )

    async def _paired_anew(self, call: Call, found: Machine) -> Answer:
        try:
            paired = await self._devices.pair(found.device.id, author(call))
        except REFUSALS as error:
            return await self._show(call, found, status=error.status, complaint=sentence(error.message))
        return _paired(call, paired, "This is a new pairing code. A key that the device has works until then.")

    def _ask(self, call: Call, found: Machine, question: str, effects: list[str], action: str, label: str) -> Answer:
        return confirmation(call, self._forms, question, effects, f"{_place(found)}/{action}", label, _place(found))


def _paired(call: Call, paired: Paired, notice: str) -> Answer:
    """Return the page that shows a pairing code, this once: as a text, and as a picture to scan."""
    code = paired.pairing_code or ""
    picture = Markup(segno.make(code).svg_inline(scale=4, border=4, dark="#000", light="#fff"))  # noqa: S704 (made here)
    return admin_page(call, "device-paired.html", stored=paired.machine, code=code, picture=picture, notice=notice)


def _place(machine: Machine) -> str:
    return f"{DEVICES.path}/{machine.device.id}"


def _is_fought_over(machine: Machine) -> bool:
    """Whether another connection has thrown the device's own out in the last day: perhaps two machines have its key."""
    displaced = machine.device.displaced
    return displaced is not None and now() - displaced < _DAY


def _sent(form: Parameters, stored: Subject) -> Subject:
    """Return a stored subject with the values of a form."""
    notes, name = (form.one("notes") or "").replace("\r\n", "\n").strip(), (form.one("name") or "").strip()
    disabled = form.one("disabled") == "true"
    return replace(stored, name=name, roles=tuple(form.all("roles")), notes=notes, disabled=disabled)


def _arguments(text: str) -> Any:
    """Return the arguments of a command from JSON; none: null. Raises BadRequest."""
    try:
        return json.loads(text) if text else None
    except ValueError as error:
        raise BadRequest("The arguments are no JSON") from error


def _minutes(text: str) -> int:
    """Return the minutes until a command expires. Raises BadRequest."""
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 5 and int(text) > 0):
        raise BadRequest("The minutes are no whole number of at least 1")
    return int(text)
