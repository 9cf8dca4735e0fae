"""`apiv3 client`: manage applications that get tokens by OAuth2."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import click

from apiv3.cli.completion import role_names
from apiv3.cli.groups import Group
from apiv3.cli.installation import run
from apiv3.cli.options import as_json, show, show_removed
from apiv3.installation import Installation
from apiv3.model.clients import GRANT_TYPES, Application, Client, GrantType
from apiv3.model.identity import Subject
from apiv3.security.authors import OPERATOR
from apiv3.security.oauth2.clients import Registered
from apiv3.security.oauth2.grants.client_credentials import ClientCredentialsGrant


@click.group(cls=Group)
def client() -> None:
    """Manage applications that get tokens by OAuth2 (docs/how-to/register-an-application.md)."""


_redirect = click.option(
    "--redirect", "redirects", multiple=True, metavar="URI", help="Where people go back to; may be repeated."
)
_scope = click.option(
    "--scope", "scopes", multiple=True, metavar="SCOPE", help="What it may ask for: read, write, ...; may be repeated."
)
_grant = click.option(
    "--grant",
    "grants",
    multiple=True,
    type=click.Choice(GRANT_TYPES),
    help="How it gets tokens; may be repeated. By default, what fits the other options.",
)
_role = click.option(
    "--role", "roles", multiple=True, shell_complete=role_names, help="A role of the application itself; may be repeated."
)


def _record(application: Application, secret: str | None = None) -> dict[str, Any]:
    found, subject = application
    record: dict[str, Any] = {"client_id": found.id} | ({} if secret is None else {"client_secret": secret})
    record |= {"name": subject.name, "kind": "public" if found.is_public else "confidential"}
    record |= {"redirect_uris": list(found.redirects), "scopes": list(found.scopes), "grants": list(found.grants)}
    record |= {"introspect": found.introspects, "roles": list(subject.roles), "notes": subject.notes}
    return record | {"owner": found.owner, "created_at": subject.created_at}


def _registered(registered: Registered) -> dict[str, Any]:
    return _record(registered.application, registered.secret)


async def _find(installation: Installation, name: str) -> Application:
    """Return the client with this name or id. Raises ClickException."""
    for found in await installation.clients.all():
        if name in (found.subject.name, found.client.id):
            return found
    raise click.ClickException(f"There is no client {name!r}; `apiv3 client list` shows them all.")


@client.command()
@click.argument("name")
@_redirect
@_scope
@_grant
@_role
@click.option(
    "--public", is_flag=True, help="It cannot keep a secret: an app on a phone, a page, a program that people install."
)
@click.option("--introspect", is_flag=True, help="It may ask about the tokens of other applications.")
@click.option("--notes", default="", help="Notes about it, as free text.")
@as_json
def add(
    name: str,
    redirects: tuple[str, ...],
    scopes: tuple[str, ...],
    grants: tuple[str, ...],
    roles: tuple[str, ...],
    public: bool,
    introspect: bool,
    notes: str,
    as_json: bool,
) -> None:
    """Register an application, and print its client_id and, this once, its client_secret.

    \b
    apiv3 client add viewer --redirect https://viewer.example.org/callback --scope read
    apiv3 client add watch --public --scope read --scope offline_access
    apiv3 client add algorithm --role readable --scope read
    """
    made = Client("", redirects, scopes, cast("tuple[GrantType, ...]", grants), introspects=introspect)

    async def work(installation: Installation) -> dict[str, Any]:
        return _registered(await installation.clients.add(made, Subject("", name, roles, notes), OPERATOR, public=public))

    show(run(work, makes=True), as_json)


@client.command("list")
@as_json
def list_(as_json: bool) -> None:
    """List all applications, without their secrets.

    \b
    apiv3 client list
    """

    async def work(installation: Installation) -> list[dict[str, Any]]:
        return [_record(found) for found in await installation.clients.all()]

    show(run(work), as_json)


@client.command("show")
@click.argument("name")
@as_json
def show_(name: str, as_json: bool) -> None:
    """Show an application, without its secret. NAME is its name or its client_id.

    \b
    apiv3 client show viewer
    """

    async def work(installation: Installation) -> dict[str, Any]:
        return _record(await _find(installation, name))

    show(run(work), as_json)


@client.command()
@click.argument("name")
@_redirect
@_scope
@_grant
@_role
@click.option("--no-roles", is_flag=True, help="Remove all roles.")
@click.option("--introspect/--no-introspect", default=None, help="Whether it may ask about the tokens of others.")
@click.option("--notes", default=None, help="New notes.")
@as_json
def change(name: str, no_roles: bool, introspect: bool | None, notes: str | None, as_json: bool, **lists: Any) -> None:
    """Change an application. What is given replaces what is there; the rest stays. If it loses a scope or a grant, all its
    tokens end within a second, and people are asked again. If its redirect URIs change, people are asked again.

    \b
    apiv3 client change viewer --scope read --scope offline_access
    """
    if lists["roles"] and no_roles:
        raise click.UsageError("--role and --no-roles exclude each other.")
    said: dict[str, Any] = {field: lists[field] for field in ("redirects", "scopes", "grants") if lists[field]}
    named: dict[str, Any] = {"roles": lists["roles"]} if lists["roles"] or no_roles else {}
    if introspect is not None:
        said["introspects"] = introspect
    if notes is not None:
        named["notes"] = notes
    if not said and not named:
        raise click.UsageError("There is nothing to change: say what the application shall have.")

    async def work(installation: Installation) -> dict[str, Any]:
        def changed(stored: Application) -> Application:
            return Application(replace(stored.client, **said), replace(stored.subject, **named))

        found = await _find(installation, name)
        return _record(await installation.clients.change(found.client.id, changed, OPERATOR))

    show(run(work), as_json)


@client.command()
@click.argument("name")
@as_json
def rotate(name: str, as_json: bool) -> None:
    """Give an application a new client_secret, and print it this once. The old one and all its tokens stop working within a
    second.

    \b
    apiv3 client rotate viewer
    """

    async def work(installation: Installation) -> dict[str, Any]:
        found = await _find(installation, name)
        return _registered(await installation.clients.rotate(found.client.id, OPERATOR))

    show(run(work), as_json)


@client.command()
@click.argument("name")
@as_json
def remove(name: str, as_json: bool) -> None:
    """Remove an application. All its tokens stop working within a second.

    \b
    apiv3 client remove viewer
    """

    async def work(installation: Installation) -> dict[str, Any]:
        found = await _find(installation, name)
        return _record(await installation.clients.remove(found.client.id, OPERATOR))

    show_removed(run(work), name, as_json)


@client.command()
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, metavar="SCOPE", help="A scope of the token; may be repeated. Default: all.")
@as_json
def token(name: str, scopes: tuple[str, ...], as_json: bool) -> None:
    """Print an access token with which an application acts for itself, to be put into the environment of a container.

    \b
    docker run -e APIV3_TOKEN="$(apiv3 client token algorithm)" algorithm
    """

    async def work(installation: Installation) -> dict[str, Any]:
        found = await _find(installation, name)
        if "client_credentials" not in found.client.grants:
            raise click.ClickException(
                f"{name} has no grant client_credentials; `apiv3 client change {name} --grant client_credentials` gives it one."
            )
        grant = ClientCredentialsGrant(installation.scopes, installation.issuer)
        issued = await grant.issue(found, installation.scopes.chosen(" ".join(scopes), found.client.scopes))
        return {"access_token": issued.access, "expires_in": issued.expires_in, "scope": " ".join(issued.scopes)}

    issued = run(work)
    if as_json:
        show(issued, as_json=True)
    else:
        click.echo(issued["access_token"])
