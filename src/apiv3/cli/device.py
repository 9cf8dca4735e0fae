"""`apiv3 device`: manage devices that have a key of their own."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import click
import segno

from apiv3.cli import installation as here
from apiv3.cli.completion import role_names
from apiv3.cli.groups import Group
from apiv3.cli.options import as_json, show, show_removed
from apiv3.cli.simulate import simulate
from apiv3.hub.commands import Commands
from apiv3.installation import Installation
from apiv3.model.devices import OPEN, Command, Machine, RecordKind
from apiv3.model.identity import Subject
from apiv3.model.timestamps import iso, now
from apiv3.provisioning import revealed
from apiv3.security.authors import OPERATOR
from apiv3.security.devices.devices import Paired, is_connected
from apiv3.security.devices.keys import hub_keys, text_of

T = TypeVar("T")
_LOOK = 0.25
"""Seconds between two looks for the result of a command."""


@click.group(cls=Group)
def device() -> None:
    """Manage devices that have a key of their own (docs/how-to/connect-a-device.md)."""


def run(work: Callable[[Installation], Awaitable[T]], *, makes: bool = False) -> T:
    """Run `work` on the installation here, which has the hub's key."""
    return here.run(work, makes=makes, secrets=("hub_key",))


def _record(machine: Machine) -> dict[str, Any]:
    found, subject = machine
    record: dict[str, Any] = {"_id": found.id, "name": subject.name, "roles": list(subject.roles), "notes": subject.notes}
    record |= {"state": found.state, "disabled": subject.disabled, "public_key": found.public_key}
    record |= {"connected": is_connected(found, now()), "seen": _moment(found.seen), "address": found.address}
    record |= {"software": found.software, "rotation": _moment(found.rotation), "displaced": _moment(found.displaced)}
    return record | {"created_at": subject.created_at}


def _moment(ms: int | None) -> str | None:
    return None if ms is None else iso(ms)


def _command(given: Command) -> dict[str, Any]:
    record: dict[str, Any] = {"command": given.id, "device": given.device, "name": given.name, "arguments": given.arguments}
    record |= {"state": given.state, "output": given.output, "expires": iso(given.expires)}
    return record


async def _find(installation: Installation, name: str) -> Machine:
    """Return the device with this name or id. Raises ClickException."""
    for found in await installation.devices.all():
        if name in (found.subject.name, found.device.id):
            return found
    raise click.ClickException(f"There is no device {name!r}; `apiv3 device list` shows them all.")


def _show_paired(paired: Paired, as_json: bool) -> None:
    subject, code = paired.machine.subject, paired.pairing_code
    record: dict[str, Any] = {"_id": subject.id, "name": subject.name, "roles": list(subject.roles)}
    record |= {} if code is None else {"pairing_code": code}
    show(record, as_json)
    if code is None or as_json:
        return
    if sys.stdout.isatty():
        segno.make(code).terminal(compact=True)
    click.echo("The pairing code is good once, for 15 minutes. `apiv3 device pair` makes another one.", err=True)


@device.command()
@click.argument("name")
@click.option("--role", "roles", multiple=True, shell_complete=role_names, help="A role of the device; may be repeated.")
@click.option("--public-key", metavar="KEY", help="The device's key, if it has one already: 32 bytes in base64url.")
@click.option("--notes", default="", help="Notes about it, as free text.")
@as_json
def add(name: str, roles: tuple[str, ...], public_key: str | None, notes: str, as_json: bool) -> None:
    """Add a device, and print the pairing code with which it is enrolled.

    \b
    apiv3 device add rig --role devicestatus-upload
    apiv3 device add "weather station" --role weather --json
    """

    async def work(installation: Installation) -> Paired:
        return await installation.devices.add(Subject("", name, roles, notes), public_key, OPERATOR)

    _show_paired(run(work, makes=True), as_json)


@device.command("list")
@as_json
def list_(as_json: bool) -> None:
    """List all devices: what they may do, and whether they are connected.

    \b
    apiv3 device list
    """

    async def work(installation: Installation) -> list[dict[str, Any]]:
        return [_record(found) for found in await installation.devices.all()]

    show(run(work), as_json)


@device.command("show")
@click.argument("name")
@click.option("--log", "kind", flag_value="log", help="Show the last lines of its log.")
@click.option("--alarms", "kind", flag_value="alarm", help="Show its last alarms.")
@click.option("--states", "kind", flag_value="state", help="Show the states that it told last.")
@click.option("--commands", is_flag=True, help="Show its last commands.")
@click.option("--search", default="", metavar="TEXT", help="Only what has this text in it.")
@as_json
def show_(name: str, kind: RecordKind | None, commands: bool, search: str, as_json: bool) -> None:
    """Show a device, or what it has told. NAME is its name or its _id.

    \b
    apiv3 device show rig
    apiv3 device show rig --log --search error
    """

    async def work(installation: Installation) -> Any:
        found = await _find(installation, name)
        if commands:
            return [_command(each) for each in await _commands(installation).of(found.device.id, OPERATOR)]
        if kind is None:
            return _record(found)
        told = await installation.devices.records(found.device.id, kind, None, search, 100)
        return [{"time": iso(each.moment), "level": each.level, **each.body} for each in told]

    show(run(work), as_json)


@device.command()
@click.argument("name")
@click.option("--name", "new_name", help="A new name.")
@click.option(
    "--role", "roles", multiple=True, shell_complete=role_names, help="A role, in place of those it has; may be repeated."
)
@click.option("--no-roles", is_flag=True, help="Remove all roles.")
@click.option("--disable/--enable", "disabled", default=None, help="Whether it is cut off.")
@click.option("--notes", default=None, help="New notes.")
@as_json
def change(
    name: str,
    new_name: str | None,
    roles: tuple[str, ...],
    no_roles: bool,
    disabled: bool | None,
    notes: str | None,
    as_json: bool,
) -> None:
    """Change a device. What is given replaces what is there; the rest stays.

    \b
    apiv3 device change rig --role devicestatus-upload --role careportal
    apiv3 device change rig --disable
    """
    if roles and no_roles:
        raise click.UsageError("--role and --no-roles exclude each other.")
    given = {"name": new_name, "roles": roles or (() if no_roles else None), "disabled": disabled, "notes": notes}
    said: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
    if not said:
        raise click.UsageError("There is nothing to change: say what the device shall have.")

    async def work(installation: Installation) -> dict[str, Any]:
        found = await _find(installation, name)
        return _record(await installation.devices.change(found.device.id, lambda stored: replace(stored, **said), OPERATOR))

    show(run(work), as_json)


@device.command()
@click.argument("name")
@as_json
def pair(name: str, as_json: bool) -> None:
    """Print a new pairing code for a device. A key that it has works until another one is enrolled.

    \b
    apiv3 device pair rig
    """

    async def work(installation: Installation) -> Paired:
        found = await _find(installation, name)
        return await installation.devices.pair(found.device.id, OPERATOR)

    _show_paired(run(work), as_json)


@device.command()
@click.argument("name")
@as_json
def rotate(name: str, as_json: bool) -> None:
    """Ask a device for a new key. The old one works until the device connects with the new one; it has a week.

    \b
    apiv3 device rotate rig
    """

    async def work(installation: Installation) -> dict[str, Any]:
        found = await _find(installation, name)
        return _record(await installation.devices.rotate(found.device.id, OPERATOR))

    show(run(work), as_json)


@device.command()
@click.argument("name")
@as_json
def revoke(name: str, as_json: bool) -> None:
    """End the keys of a device, and cut its connection within a second. None of its keys is ever taken again.

    \b
    apiv3 device revoke rig
    """

    async def work(installation: Installation) -> dict[str, Any]:
        found = await _find(installation, name)
        return _record(await installation.devices.revoke(found.device.id, OPERATOR))

    show(run(work), as_json)


@device.command()
@click.argument("name")
@as_json
def remove(name: str, as_json: bool) -> None:
    """Remove a device with its key, its log and its commands. The documents that it has sent stay.

    \b
    apiv3 device remove rig
    """

    async def work(installation: Installation) -> dict[str, Any]:
        found = await _find(installation, name)
        return _record(await installation.devices.remove(found.device.id, OPERATOR))

    show_removed(run(work), name, as_json)


@device.command("command")
@click.argument("name")
@click.argument("command")
@click.argument("arguments", required=False, metavar="[ARGUMENTS-AS-JSON]")
@click.option("--expires", "minutes", type=click.FloatRange(0, min_open=True), default=60.0, help="Minutes until it expires.")
@click.option("--wait", type=click.FloatRange(0), default=0.0, help="Seconds to wait for the device's answer.")
@as_json
def command_(name: str, command: str, arguments: str | None, minutes: float, wait: float, as_json: bool) -> None:
    """Give a device a command. It gets it at once if it is connected, otherwise when it connects.

    \b
    apiv3 device command rig restart
    apiv3 device command rig set-interval '{"seconds": 60}' --wait 10
    """
    try:
        said = None if arguments is None else json.loads(arguments)
    except ValueError as error:
        raise click.UsageError(f"The arguments are no JSON: {error}.") from error

    async def work(installation: Installation) -> dict[str, Any]:
        found, commands = await _find(installation, name), _commands(installation)
        given = await commands.give(found.device.id, command, said, now() + round(minutes * 60_000), OPERATOR)
        deadline = time.monotonic() + wait
        while given.state in OPEN and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK)
            given = await commands.find(given.id, OPERATOR)
        return _command(given)

    show(run(work), as_json)


@device.command("hub-key")
def hub_key() -> None:
    """Print the public key by which devices recognize this server.

    \b
    apiv3 device hub-key
    """

    async def work(installation: Installation) -> str:
        return text_of(hub_keys(revealed(installation.settings.hub_key)).public)

    click.echo(run(work, makes=True))


def _commands(installation: Installation) -> Commands:
    return Commands(installation.command_table, installation.device_table)


device.add_command(simulate)
