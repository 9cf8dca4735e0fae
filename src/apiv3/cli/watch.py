"""`apiv3 watch`: print changes as they happen, from a server over HTTP."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import click

from apiv3.cli.completion import collection_names
from apiv3.cli.options import moment
from apiv3.client.events import Event, Follower
from apiv3.model import timestamps
from apiv3.settings import Settings, load, local_url


@click.command()
@click.argument("collections", nargs=-1, metavar="[COLLECTIONS]...", shell_complete=collection_names)
@click.option("--url", help="URL of the server. Default: the server of the settings here.")
@click.option("--token", envvar="APIV3_TOKEN", help="Access token or JWT. Preferably set APIV3_TOKEN, which others cannot see.")
@click.option("--since", default="", help="Begin with changes after this time, such as 2026-11-24 or 1795393451000.")
@click.option("--after", default="", help="Continue after the event with this id, as --json prints it.")
@click.option("--json", "as_json", is_flag=True, help="Print each change as a JSON object on one line.")
def watch(collections: tuple[str, ...], url: str | None, token: str | None, since: str, after: str, as_json: bool) -> None:
    """Print changes of COLLECTIONS as they happen, until Ctrl-C. Default: all collections that the token may read.

    When the connection is lost, it is made again and continues where it was, so that no change is missed.

    \b
    apiv3 watch entries treatments
    apiv3 watch --url https://nightscout.example --since 2026-11-24 --json >> changes.ndjson
    """
    if not token:
        raise click.ClickException("There is no access token: set APIV3_TOKEN; `apiv3 subject show NAME` prints a subject's.")
    if since:
        moment("--since", since)
    address, trust = (url, True) if url else _here(load())
    follower = Follower(address, token, collections, since, after, _tell, _nothing if as_json else _tell_waiting, trust)
    show = _as_json if as_json else _as_text
    for event in follower:
        click.echo(show(event))


def _here(settings: Settings) -> tuple[str, ssl.SSLContext | bool]:
    """Return the URL of the server of these settings, and the certificates to trust. Raises ClickException."""
    try:
        return local_url(settings, settings.port), _only(settings.tls_cert) if settings.tls_cert else True
    except (OSError, ValueError) as error:  # ValueError: the file has no certificate
        raise click.ClickException(f"TLS_CERT is {str(settings.tls_cert)!r}, which cannot be used: {error}.") from error


def _only(certificate: Path) -> ssl.SSLContext:
    """Return a context that trusts only the first certificate in the file. Its name differs from 127.0.0.1, and it may be
    self-signed.
    """
    begin, middle, _ = certificate.read_text().partition(ssl.PEM_FOOTER)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=begin + middle)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it need not be a certificate authority
    return context


def _nothing() -> None:
    """Print nothing: a program that reads JSON does not need to be told that it waits."""


def _tell_waiting() -> None:
    click.echo("apiv3 watch: waiting for changes; Ctrl-C ends it", err=True)


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
