"""`apiv3 audit`: who did what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import click

from apiv3.cli.installation import run
from apiv3.cli.options import as_json, moment, show
from apiv3.installation import Installation
from apiv3.model.audit import Action, Entry, Outcome, Search
from apiv3.model.timestamps import iso
from apiv3.security.authors import OPERATOR


@click.command()
@click.option("--since", metavar="TIME", help="Only what happened from then on, such as 2026-01-31.")
@click.option("--until", metavar="TIME", help="Only what happened before then.")
@click.option("--actor", help="Only what somebody with this name or _id did.")
@click.option("--action", type=click.Choice(get_args(Action)), help="Only entries of this kind.")
@click.option("--target", help="Only what was done to somebody or something with this name, e-mail address or _id.")
@click.option("--outcome", type=click.Choice(get_args(Outcome)), help="Only what succeeded, or what failed.")
@click.option("--last", type=click.IntRange(1, 1_000_000), metavar="N", help="Only the newest N of these entries.")
@as_json
def audit(
    since: str | None,
    until: str | None,
    actor: str | None,
    action: Action | None,
    target: str | None,
    outcome: Outcome | None,
    last: int | None,
    as_json: bool,
) -> None:
    """Print the audit trail: who changed which person, subject or role, and who signed in or failed to.

    \b
    apiv3 audit --since 2026-01-31 --action sign-in
    apiv3 audit --outcome failure --last 20
    """
    start = 0 if since is None else moment("--since", since)
    end = None if until is None else moment("--until", until)
    search = Search(start, end, actor, action, target, outcome)

    async def work(installation: Installation) -> Sequence[Entry]:
        if last is None:
            return await installation.trail.find(search, OPERATOR)
        return (await installation.trail.page(search, OPERATOR, limit=last)).entries[::-1]

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
