"""`apiv3 watch`: changes as they happen, from a server over HTTP."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from apiv3.cli.completion import collection_names
from apiv3.client.events import Event, Follower
from apiv3.model import timestamps
from apiv3.settings import Settings, load

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (where a server listens that listens everywhere)
_INTERRUPTED = 130


@click.command()
@click.argument("collections", nargs=-1, metavar="[COLLECTIONS]...", shell_complete=collection_names)
@click.option("--url", help="Address of the server; without it, the one that the settings here describe.")
@click.option("--token", envvar="APIV3_TOKEN", help="Access token or JWT. Better in APIV3_TOKEN: others see a command line.")
@click.option("--since", default="", help="Begin with what changed after this time, such as 2026-11-24 or 1795393451000.")
@click.option("--after", default="", help="Go on after the event with this id, as --json prints it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each change, a line each.")
def watch(collections: tuple[str, ...], url: str | None, token: str | None, since: str, after: str, as_json: bool) -> None:
    """Print changes as they happen, until Ctrl-C. COLLECTIONS: which; without any, all that the token may read.

    When the connection is lost it is made again, and goes on where it was: no change is left out.

    \b
    apiv3 watch entries treatments
    apiv3 watch --url https://nightscout.example --since 2026-11-24 --json >> changes.ndjson
    """
    if not token:
        raise click.ClickException("There is no access token: set APIV3_TOKEN; `apiv3 subject show NAME` prints a subject's.")
    follower = Follower(url or local_url(load()), token, collections, since, after, _tell)
    show = _as_json if as_json else _as_text
    try:
        for event in follower:
            click.echo(show(event))
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def local_url(settings: Settings) -> str:
    """Where the server of these settings can be reached from its own machine."""
    host = _ANY.get(settings.host, settings.host)
    host = f"[{host}]" if ":" in host else host
    return f"{'https' if settings.tls_cert else 'http'}://{host}:{settings.port}"


def _tell(what: str) -> None:
    click.echo(f"apiv3 watch: {what}; trying again", err=True)


def _as_json(event: Event) -> str:
    return json.dumps({"event": event.kind, **json.loads(event.data), "id": event.id}, ensure_ascii=False)


def _as_text(event: Event) -> str:
    data: dict[str, Any] = json.loads(event.data)
    if event.kind == "reset":
        return f"{'':<24}  {'reset':<6}  {data['colName']}: forget what you have of it; all that there is follows"
    document = data.get("doc") or data
    moment = timestamps.iso(document["srvModified"])
    text = json.dumps(data["doc"], ensure_ascii=False) if "doc" in data else ""
    return f"{moment}  {event.kind:<6}  {data['colName']}  {document['identifier']}  {text}".rstrip()
