"""`apiv3 role`: named lists of permissions."""

from __future__ import annotations

from typing import Any

import click

from apiv3.cli.installation import as_json, run, show
from apiv3.installation import Installation
from apiv3.model.identity import Role


@click.group()
def role() -> None:
    """Roles: named lists of permissions, such as api:entries:read or api:*:create,update."""


def _record(found: Role) -> dict[str, Any]:
    return {
        "_id": found.id or "(built in)",
        "name": found.name,
        "permissions": list(found.permissions),
        "notes": found.notes,
    }


def _find(installation: Installation, name: str) -> Role:
    """A stored role, by name or by id."""
    for found in installation.policies.current.roles.values():
        if name in (found.name, found.id):
            if found.id is None:
                raise click.ClickException(f"{name!r} is built in; `apiv3 role add {name}` makes one in its place.")
            return found
    raise click.ClickException(f"There is no role {name!r}; `apiv3 role list` shows them all.")


@role.command()
@click.argument("name")
@click.argument("permissions", nargs=-1)
@click.option("--notes", default="", help="Anything worth remembering about it.")
@as_json
def add(name: str, permissions: tuple[str, ...], notes: str, as_json: bool) -> None:
    """Add a role with its PERMISSIONS; with the name of a built-in one it takes that one's place.

    \b
    apiv3 role add uploader 'api:entries:create,update' 'api:devicestatus:create'
    """

    async def work(installation: Installation) -> dict[str, Any]:
        return _record(await installation.administration.add_role(Role(name, permissions, notes, "")))

    show(run(work), as_json)


@role.command("list")
@as_json
def list_(as_json: bool) -> None:
    """List all roles, the built-in ones included."""

    async def work(installation: Installation) -> list[dict[str, Any]]:
        return [_record(found) for found in installation.policies.current.roles.values()]

    show(run(work), as_json)


@role.command()
@click.argument("name")
@click.argument("permissions", nargs=-1)
@click.option("--notes", default=None, help="New notes; without this option they stay.")
@as_json
def change(name: str, permissions: tuple[str, ...], notes: str | None, as_json: bool) -> None:
    """Give a role other PERMISSIONS; they bite within a second."""

    async def work(installation: Installation) -> dict[str, Any]:
        found = _find(installation, name)
        changed = Role(found.name, permissions, found.notes if notes is None else notes, found.id)
        return _record(await installation.administration.change_role(changed))

    show(run(work), as_json)


@role.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove a role; refused while subjects have it."""

    async def work(installation: Installation) -> None:
        await installation.administration.remove_role(str(_find(installation, name).id))

    run(work)
    click.echo(f"Removed {name}.")
