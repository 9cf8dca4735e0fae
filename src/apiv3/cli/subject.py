"""`apiv3 subject` and `apiv3 check`: manage subjects, and check their permissions."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import click

from apiv3.cli.completion import role_names, subject_names
from apiv3.cli.groups import Group
from apiv3.cli.installation import run
from apiv3.cli.options import STAYS, as_json, given_groups, group_options, show, show_removed, warn
from apiv3.installation import Installation
from apiv3.model.errors import ApiError
from apiv3.model.identity import Subject, Timestamp
from apiv3.security import advice
from apiv3.security.authors import OPERATOR
from apiv3.security.permissions import Permission
from apiv3.settings import SettingsError


@click.group(cls=Group)
def subject() -> None:
    """Manage subjects: people, apps and scripts that may call the API."""


def _record(installation: Installation, found: Subject, *, token: bool) -> dict[str, Any]:
    record: dict[str, Any] = {"_id": found.id, "name": found.name, "roles": list(found.roles), "notes": found.notes}
    kind = {"application": True} if found.is_client else {"device": True} if found.is_device else {}
    record |= {"groups": list(found.groups), "ous": list(found.ous)}
    record |= {"timestamp": found.timestamp} | kind
    return record | ({"accessToken": installation.policies.current.token(found)} if token else {})


def _stored(installation: Installation, subject: Subject) -> dict[str, Any]:
    warn(advice.on_subject(subject, installation.policies.default_roles))
    return _record(installation, subject, token=True)


def _find(installation: Installation, name: str) -> Subject:
    """Return the subject with this name or id. Raises ClickException."""
    for found in installation.policies.current.subjects:
        if name in (found.name, found.id):
            return found
    raise click.ClickException(f"There is no subject {name!r}; `apiv3 subject list` shows them all.")


_required = click.option(
    "--timestamp",
    "timestamp",
    flag_value="required",
    default=None,
    help="Require the time in each of its calls; AndroidAPS sends it.",
)
_optional = click.option(
    "--no-timestamp", "timestamp", flag_value="optional", help="Accept its calls without the time; most apps do not send it."
)
_KINDS = """Which kind of app is it for?
  1  AndroidAPS, or a program of your own that sends the time with each call
  2  another app, such as Home Assistant or nightscout-librelink-up, which does not send the time
Nobody can record a call that carries the time and send it again later. Which apps work: docs/how-to/which-apps-work.md"""


def _asked() -> Timestamp:
    """Ask the person at the terminal for the rule; without a terminal, return the stricter one."""
    if not (sys.stdin and sys.stdin.isatty()):
        return "required"
    click.echo(_KINDS, err=True)
    return "required" if click.prompt("Kind", type=click.Choice(["1", "2"]), default="1", err=True) == "1" else "optional"


@subject.command()
@click.argument("name")
@click.option(
    "--role",
    "roles",
    multiple=True,
    shell_complete=role_names,
    help="A role of the subject; may be repeated. `apiv3 role list` lists all roles.",
)
@click.option("--notes", default="", help="Notes about the subject, as free text.")
@group_options("")
@_required
@_optional
@as_json
def add(
    name: str,
    roles: tuple[str, ...],
    notes: str,
    groups: tuple[str, ...],
    ous: tuple[str, ...],
    timestamp: Timestamp | None,
    as_json: bool,
) -> None:
    """Add a subject and print its access token. On a terminal, it asks for the kind of app, unless an option sets the rule.

    \b
    apiv3 subject add phone --role readable --role careportal
    apiv3 subject add display --role readable --no-timestamp
    """
    rule = timestamp or ("required" if as_json else _asked())

    async def work(installation: Installation) -> dict[str, Any]:
        made = Subject("", name, roles, notes, timestamp=rule, groups=groups, ous=ous)
        added = await installation.administration.add_subject(made, OPERATOR)
        return _stored(installation, added)

    show(run(work, makes=True, shows_tokens=True), as_json)


@subject.command("list")
@as_json
def list_(as_json: bool) -> None:
    """List all subjects, without their tokens.

    \b
    apiv3 subject list
    """

    async def work(installation: Installation) -> list[dict[str, Any]]:
        return [_record(installation, found, token=False) for found in installation.policies.current.subjects]

    show(run(work), as_json)


@subject.command("show")
@click.argument("name", shell_complete=subject_names)
@as_json
def show_(name: str, as_json: bool) -> None:
    """Show a subject with its access token. NAME is its name or its _id.

    \b
    apiv3 subject show phone
    """

    async def work(installation: Installation) -> dict[str, Any]:
        return _record(installation, _find(installation, name), token=True)

    show(run(work, shows_tokens=True), as_json)


@subject.command()
@click.argument("name", shell_complete=subject_names)
@click.option(
    "--role",
    "roles",
    multiple=True,
    shell_complete=role_names,
    help="A role that replaces all present roles; may be repeated. Without this option, the roles stay unchanged.",
)
@click.option("--no-roles", is_flag=True, help="Remove all roles.")
@click.option("--notes", default=None, help="New notes. Without this option, the notes stay unchanged.")
@group_options(STAYS)
@_required
@_optional
@as_json
def change(
    name: str,
    roles: tuple[str, ...],
    no_roles: bool,
    notes: str | None,
    groups: tuple[str, ...],
    ous: tuple[str, ...],
    timestamp: Timestamp | None,
    as_json: bool,
) -> None:
    """Change the roles, notes, groups, units or timestamp rule of a subject. This takes effect within a second; its access
    token stays the same.

    \b
    apiv3 subject change phone --role readable --role careportal
    apiv3 subject change display --no-timestamp
    """
    if roles and no_roles:
        raise click.UsageError("--role and --no-roles exclude each other.")
    said: dict[str, Any] = dict(given_groups(groups, ous))
    if roles or no_roles:
        said["roles"] = roles
    if notes is not None:
        said["notes"] = notes
    if timestamp is not None:
        said["timestamp"] = timestamp
    if not said:
        raise click.UsageError("There is nothing to change: say --role, --no-roles, --notes, --group, --ou or --timestamp.")

    async def work(installation: Installation) -> dict[str, Any]:
        found = _find(installation, name)
        changed = await installation.administration.change_subject(found.id, lambda stored: replace(stored, **said), OPERATOR)
        return _stored(installation, changed)

    show(run(work), as_json)


@subject.command()
@click.argument("name", shell_complete=subject_names)
@as_json
def rotate(name: str, as_json: bool) -> None:
    """Give a subject a new access token. The old one and its JWTs stop working within a second.

    \b
    apiv3 subject rotate phone
    """

    async def work(installation: Installation) -> dict[str, Any]:
        rotated = await installation.administration.rotate(_find(installation, name).id, OPERATOR)
        return _record(installation, rotated, token=True)

    show(run(work, shows_tokens=True), as_json)


@subject.command()
@click.argument("name", shell_complete=subject_names)
@as_json
def remove(name: str, as_json: bool) -> None:
    """Remove a subject. Its access token and its JWTs stop working within a second.

    \b
    apiv3 subject remove phone
    """

    async def work(installation: Installation) -> dict[str, Any]:
        found = _find(installation, name)
        await installation.administration.remove_subject(found.id, OPERATOR)
        return _record(installation, found, token=False)

    show_removed(run(work), name, as_json)


@click.command()
@click.argument("subject", shell_complete=subject_names)
@click.argument("permission")
@as_json
@click.pass_context
def check(context: click.Context, subject: str, permission: str, as_json: bool) -> None:
    """Check whether SUBJECT has PERMISSION, and print which role grants it. Exit status 0: it has it; 1: it does not;
    2: an error occurred.

    \b
    apiv3 check phone api:entries:read
    """
    try:
        granting = run(lambda installation: _granting(installation, subject, permission))
    except (ApiError, SettingsError, click.ClickException) as error:
        raise _Unanswered(str(error)) from error
    if as_json:
        show({"subject": subject, "permission": permission, "held": bool(granting), "roles": granting}, as_json=True)
    elif granting:
        click.echo(f"yes: {subject} holds {permission} by the role {', '.join(granting)}")
    else:
        click.echo(f"no: none of the roles of {subject} grants {permission}")
    context.exit(0 if granting else 1)


class _Unanswered(click.ClickException):
    exit_code = 2


async def _granting(installation: Installation, subject: str, permission: str) -> list[str]:
    """Return the names of the subject's roles that grant the permission."""
    try:
        wanted = Permission.parse(permission)
    except ValueError as error:
        raise click.ClickException(f"{permission!r} is malformed: {error}.") from error
    return installation.policies.current.granting(_find(installation, subject), wanted)
