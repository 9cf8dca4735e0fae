"""`apiv3 user`: people and their accounts."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import click

from apiv3.cli.completion import role_names, user_emails
from apiv3.cli.groups import Group
from apiv3.cli.installation import run
from apiv3.cli.options import STAYS, as_json, given_groups, group_options, show, show_removed
from apiv3.installation import Installation
from apiv3.model.accounts import Person
from apiv3.model.identity import Subject
from apiv3.security.accounts.accounts import Accounts
from apiv3.security.authors import OPERATOR, Author
from apiv3.settings import Settings, public_url
from apiv3.web.users import shown

_LONGEST = 65_536
"""Most bytes that are read as a password from standard input. No valid password is that long."""
Record = dict[str, Any]
Work = Callable[[Installation], Awaitable[Record]]

_email = click.argument("email", shell_complete=user_emails)
_password = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
_HINT = "Whoever opens this link chooses a password. It is good once, for 72 hours:"


@click.group(cls=Group)
def user() -> None:
    """Users: people who sign in with an e-mail address and a password."""


def _show(record: Record, settings: Settings, as_json: bool) -> None:
    """Print a person, and the invitation if there is one: its path in JSON, otherwise its whole link with a hint."""
    path = record.get("invitation")
    if as_json or path is None:
        show(record, as_json)
        return
    show({name: value for name, value in record.items() if name != "invitation"}, as_json=False)
    click.echo(f"{_HINT}\n\n    {public_url(settings)}{path}")


def _from_stdin() -> str:
    """Read a password from standard input, without the end of its line."""
    try:
        text = sys.stdin.buffer.read(_LONGEST).decode()
    except UnicodeDecodeError as error:
        raise click.UsageError("The password on standard input is no UTF-8.") from error
    return text.removesuffix("\n").removesuffix("\r")


def _on(email: str, change: Callable[[Accounts, str, Author], Awaitable[Person | tuple[Person, str]]]) -> Work:
    """Return work that makes a change to the person with this e-mail address or id, and returns the person."""

    async def work(installation: Installation) -> Record:
        found = await installation.accounts.find(email)
        changed = await change(installation.accounts, found.subject.id, OPERATOR)
        return shown(changed) if isinstance(changed, Person) else shown(*changed)

    return work


def _do(work: Work, as_json: bool, *, makes: bool = False) -> None:
    """Run a change, and show the person that it returns."""

    async def with_settings(installation: Installation) -> tuple[Record, Settings]:
        return await work(installation), installation.settings

    record, settings = run(with_settings, makes=makes)
    _show(record, settings, as_json)


@user.command()
@click.argument("email")
@click.option(
    "--role",
    "roles",
    multiple=True,
    required=True,
    shell_complete=role_names,
    help="A role that the person has; may be repeated. `apiv3 role list` shows them.",
)
@click.option("--name", default="", help="The person's name; without this option it is the e-mail address.")
@group_options("")
@_password
@as_json
def add(
    email: str,
    roles: tuple[str, ...],
    name: str,
    groups: tuple[str, ...],
    ous: tuple[str, ...],
    password_stdin: bool,
    as_json: bool,
) -> None:
    """Add a person, and print an invitation link, unless a password is given.

    \b
    apiv3 user add anna@x.example --role readable --name 'Anna Example'
    """
    password = _from_stdin() if password_stdin else None

    async def work(installation: Installation) -> Record:
        accounts = installation.accounts
        return shown(*await accounts.add(email, name, roles, password, OPERATOR, groups=groups, ous=ous))

    _do(work, as_json, makes=True)


@user.command("list")
@as_json
def list_(as_json: bool) -> None:
    """List everybody who has an account.

    \b
    apiv3 user list
    """

    async def work(installation: Installation) -> list[Record]:
        return [shown(person) for person in await installation.accounts.all()]

    show(run(work), as_json)


@user.command("show")
@_email
@as_json
def show_(email: str, as_json: bool) -> None:
    """Show one person. EMAIL is the e-mail address, in any spelling, or the _id.

    \b
    apiv3 user show anna@x.example
    """

    async def work(installation: Installation) -> Record:
        return shown(await installation.accounts.find(email))

    _do(work, as_json)


@user.command()
@_email
@click.option(
    "--role",
    "roles",
    multiple=True,
    shell_complete=role_names,
    help="A role that the person has from now on, in the place of all others; may be repeated. Without this option they stay.",
)
@click.option("--name", default=None, help="Another name; without this option it stays.")
@click.option("--email", "address", default=None, help="Another e-mail address; without this option it stays.")
@group_options(STAYS)
@as_json
def change(
    email: str,
    roles: tuple[str, ...],
    name: str | None,
    address: str | None,
    groups: tuple[str, ...],
    ous: tuple[str, ...],
    as_json: bool,
) -> None:
    """Change a person's roles, name, e-mail address, groups or organisational units. The change takes effect within a second.

    \b
    apiv3 user change anna@x.example --role readable --role careportal
    """
    said = given_groups(groups, ous)
    if not roles and not said and name is None and address is None:
        raise click.UsageError("There is nothing to change: say --role, --name, --email, --group or --ou.")

    def changed(stored: Subject) -> Subject:
        changed = replace(stored, roles=roles or stored.roles, name=stored.name if name is None else name)
        return replace(changed, groups=said.get("groups", stored.groups), ous=said.get("ous", stored.ous))

    async def work(installation: Installation) -> Record:
        found = await installation.accounts.find(email)
        return shown(await installation.accounts.change(found.subject.id, changed, address, OPERATOR))

    _do(work, as_json)


@user.command()
@_email
@as_json
def disable(email: str, as_json: bool) -> None:
    """Refuse all credentials of a person. Tokens and invitations become invalid within a second, and stay invalid.

    \b
    apiv3 user disable anna@x.example
    """
    _do(_on(email, Accounts.disable), as_json)


@user.command()
@_email
@as_json
def enable(email: str, as_json: bool) -> None:
    """Let a disabled person sign in again, with the same password as before.

    \b
    apiv3 user enable anna@x.example
    """
    _do(_on(email, Accounts.enable), as_json)


@user.command()
@_email
@as_json
def invite(email: str, as_json: bool) -> None:
    """Print a new invitation link, also for a forgotten password. It replaces any older link.

    \b
    apiv3 user invite anna@x.example
    """
    _do(_on(email, Accounts.invite), as_json)


@user.command()
@_email
@_password
@as_json
def password(email: str, password_stdin: bool, as_json: bool) -> None:
    """Set a person's password; it is asked for on a terminal. The person's tokens and invitations end within a second.

    \b
    apiv3 user password anna@x.example
    """
    if not password_stdin and not (sys.stdin and sys.stdin.isatty()):
        raise click.UsageError("Nobody can be asked for the password here: say --password-stdin.")
    chosen = _from_stdin() if password_stdin else click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)

    async def work(installation: Installation) -> Record:
        found = await installation.accounts.find(email)
        return shown(await installation.accounts.set_password(found.subject.id, chosen, OPERATOR))

    _do(work, as_json)


@user.command()
@_email
@as_json
def remove(email: str, as_json: bool) -> None:
    """Remove the account and the subject of a person. All credentials end within a second. The audit trail keeps the name.

    \b
    apiv3 user remove anna@x.example
    """
    record = run(_on(email, Accounts.remove))
    show_removed(record, record["email"], as_json)
