"""`apiv3 audit`: who did what."""

from __future__ import annotations

from typing import Any, get_args

import click

from apiv3.cli.installation import run
from apiv3.cli.options import as_json, moment, show
from apiv3.installation import Installation
from apiv3.model.audit import Action, Entry
from apiv3.model.timestamps import iso


@click.command()
@click.option("--since", default=None, metavar="TIME", help="Only what happened from then on, such as 2026-01-31.")
@click.option("--actor", default=None, help="Only what somebody of this name or _id did.")
@click.option("--action", default=None, type=click.Choice(get_args(Action)), help="Only entries of this kind.")
@as_json
def audit(since: str | None, actor: str | None, action: str | None, as_json: bool) -> None:
    """Print the audit trail: who changed which person, subject or role, and who signed in or failed to.

    \b
    apiv3 audit --since 2026-01-31 --action sign-in
    """
    start = 0 if since is None else moment("--since", since)

    async def work(installation: Installation) -> list[Entry]:
        return list(await installation.audit.find(start, actor, action))

    entries = run(work)
    if as_json:
        show([_record(entry) for entry in entries], as_json=True)
        return
    for entry in entries:
        click.echo(_line(entry))


def _record(entry: Entry) -> dict[str, Any]:
    actor = {"id": entry.actor.id, "name": entry.actor.name, "way": entry.actor.way}
    target = None if entry.target is None else entry.target._asdict()
    record = {"time": iso(entry.time), "actor": actor, "action": entry.action, "target": target}
    return record | {"address": entry.actor.address, "outcome": entry.outcome, "details": dict(entry.details)}


def _line(entry: Entry) -> str:
    target = "" if entry.target is None else f" {entry.target.kind} {entry.target.email or entry.target.name}"
    place = f" from {entry.actor.address}" if entry.actor.address else ""
    outcome = "" if entry.outcome == "success" else f": {entry.outcome}"
    return f"{iso(entry.time)} {entry.actor.name} ({entry.actor.way}{place}) {entry.action}{target}{outcome}"
