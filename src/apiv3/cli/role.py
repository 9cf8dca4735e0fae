"""`apiv3 role`: manage roles, which are named lists of permissions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from apiv3.cli.completion import own_role_names, role_names
from apiv3.cli.groups import Group
from apiv3.cli.installation import run
from apiv3.cli.options import as_json, show, show_removed, warn
from apiv3.installation import Installation
from apiv3.model.identity import Role
from apiv3.security import advice
from apiv3.security.authors import OPERATOR


@click.group(cls=Group)
def role() -> None:
    """Manage roles: named lists of permissions, such as api:entries:read or api:*:create,update."""


def _record(found: Role) -> dict[str, Any]:
    record = {"name": found.name, "permissions": list(found.permissions), "notes": found.notes}
    return record if found.id is None else {"_id": found.id, **record}


def _stored(installation: Installation, role: Role) -> dict[str, Any]:
    warn(advice.on_role(role, installation.demands))
    return _record(role)


def _find(installation: Installation, name: str) -> Role:
    """Return the role with this name or id. Raises ClickException."""
    for found in installation.policies.current.roles.values():
        if name in (found.name, found.id):
            return found
    raise click.ClickException(f"There is no role {name!r}; `apiv3 role list` shows them all.")


def _find_own(installation: Installation, name: str) -> Role:
    """Return a role that is not built in. Raises ClickException."""
    found = _find(installation, name)
    if found.id is None:
        raise click.ClickException(f"{name!r} is built in; `apiv3 role add {name}` makes one in its place.")
    return found


@role.command()
@click.argument("name")
@click.argument("permissions", nargs=-1)
@click.option("--notes", default="", help="Notes about the role, as free text.")
@as_json
def add(name: str, permissions: tuple[str, ...], notes: str, as_json: bool) -> None:
    """Add a role with PERMISSIONS. A role with the name of a built-in one replaces it.

    \b
    apiv3 role add uploader 'api:entries:create,update' 'api:devicestatus:create'
    """

    async def work(installation: Installation) -> dict[str, Any]:
        return _stored(installation, await installation.administration.add_role(Role(name, permissions, notes, ""), OPERATOR))

    show(run(work, makes=True), as_json)


@role.command("list")
@as_json
def list_(as_json: bool) -> None:
    """List all roles. The built-in ones have no _id.

    \b
    apiv3 role list
    """

    async def work(installation: Installation) -> list[dict[str, Any]]:
        return [_record(found) for found in installation.policies.current.roles.values()]

    show(run(work), as_json)


@role.command("show")
@click.argument("name", shell_complete=role_names)
@as_json
def show_(name: str, as_json: bool) -> None:
    """Show a role with its permissions. NAME is its name or its _id.

    \b
    apiv3 role show careportal
    """

    async def work(installation: Installation) -> dict[str, Any]:
        return _record(_find(installation, name))

    show(run(work), as_json)


@role.command()
@click.argument("name", shell_complete=own_role_names)
@click.argument("permissions", nargs=-1)
@click.option("--notes", default=None, help="New notes. Without this option, the notes stay unchanged.")
@as_json
def change(name: str, permissions: tuple[str, ...], notes: str | None, as_json: bool) -> None:
    """Replace the permissions of a role by PERMISSIONS. This takes effect within a second.

    \b
    apiv3 role change uploader 'api:entries:create,update'
    """

    async def work(installation: Installation) -> dict[str, Any]:
        found = _find_own(installation, name)
        changed = await installation.administration.change_role(
            found.id,
            lambda stored: replace(stored, permissions=permissions, notes=stored.notes if notes is None else notes),
            OPERATOR,
        )
        return _stored(installation, changed)

    show(run(work), as_json)


@role.command()
@click.argument("name", shell_complete=own_role_names)
@as_json
def remove(name: str, as_json: bool) -> None:
    """Remove a role. This is refused while subjects have it.

    \b
    apiv3 role remove uploader
    """

    async def work(installation: Installation) -> dict[str, Any]:
        found = _find_own(installation, name)
        await installation.administration.remove_role(str(found.id), OPERATOR)
        return _record(found)

    show_removed(run(work), name, as_json)
