"""`apiv3 import`: import documents from a file into the database, or over HTTP into any server."""

from __future__ import annotations

import asyncio
import gc
import io
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import cast

import click
from click.core import ParameterSource

from apiv3.cli import zones
from apiv3.cli.completion import collection_names
from apiv3.cli.import_report import Interpretation, tell
from apiv3.cli.installation import run
from apiv3.cli.options import as_json, unknown_collection
from apiv3.client.errors import Refused, Unreachable
from apiv3.client.uploads import Uploader
from apiv3.files.destinations import InDatabase, Nowhere, OnServer
from apiv3.files.reading import collection_of, is_clarity, read, unit
from apiv3.files.records import Malformed, Record
from apiv3.files.transfer import Report, transfer
from apiv3.installation import Installation
from apiv3.model import collections
from apiv3.model.errors import StorageUnavailable, ValueRefused
from apiv3.operations.restoring import Restoring
from apiv3.settings import load

THE_REST = "What is counted here is in; the same command goes on with the rest."
_SELDOM = 100_000
"""New objects after which Python's garbage collector looks for cycles."""
Progress = Callable[[int], None]


@click.command("import")
@click.argument("file", type=click.Path())
@click.option(
    "--collection",
    shell_complete=collection_names,
    help="The collection of the documents in a JSON file. Default: its name, such as entries.json.",
)
@click.option(
    "--timezone",
    help="The time zone of a Clarity export, such as Europe/Berlin. Default: this machine's, unless that is UTC.",
)
@click.option("--dry-run", is_flag=True, help="Store nothing, and print what would be stored.")
@click.option("--url", help="Send the documents to the server at this URL, instead of storing them in this installation.")
@click.option("--token", envvar="APIV3_TOKEN", help="The access token for --url. Preferably set APIV3_TOKEN instead.")
@as_json
def import_(
    file: str, collection: str | None, timezone: str | None, dry_run: bool, url: str, token: str, as_json: bool
) -> None:
    """Import the documents of FILE: a JSON array, NDJSON (one document on each line), or a Dexcom Clarity export in CSV.
    `-` is the standard input.

    Documents that exist already are left unchanged, so the same file can be imported again, also after an interruption. Exit
    status 0: all documents are stored; 1: some are not.

    \b
    apiv3 import entries.ndjson
    apiv3 import backup.json --collection treatments
    apiv3 import clarity.csv --timezone Europe/Berlin --dry-run
    apiv3 import clarity.csv --timezone Europe/Berlin
    APIV3_TOKEN=phone-0123456789abcdef apiv3 import entries.json --url https://glucose.example
    """
    _check(url, token)
    report, problem, nowhere = Report(), "", Nowhere() if dry_run else None
    with _opened(file) as source:
        interpretation = _interpretation(source, file, collection, timezone)
        with _progress(source) as progress:
            try:
                with closing(read(source, interpretation.rules, interpretation.collection)) as records:
                    if nowhere:
                        known = _known(records, collections.table(load().api3_extra_collections))
                        asyncio.run(transfer(known, nowhere, report, progress))
                    elif url:
                        asyncio.run(_upload(url, token, records, report, progress))
                    else:
                        run(lambda installation: _restore(installation, records, report, progress), makes=True)
            except Malformed as error:
                problem = _broken_off(file, error, report)
            except (Refused, Unreachable, StorageUnavailable, ValueRefused) as error:
                problem = f"{str(error).rstrip('.')}. {THE_REST}" if report.stored else str(error)
            except KeyboardInterrupt:
                problem = f"Interrupted. {THE_REST}"
    if report.refused and not problem:
        problem = "Not everything could be stored." if dry_run else "Not everything is in."
    tell(report, problem, interpretation, nowhere, as_json=as_json)


def _check(url: str | None, token: str | None) -> None:
    """Raise UsageError for options that exclude or need each other."""
    if url and not token:
        raise click.UsageError("--url needs a token: set APIV3_TOKEN, or give --token.")
    if not url and click.get_current_context().get_parameter_source("token") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--token is for a server: it needs --url.")


def _interpretation(source: io.BufferedReader, file: str, collection: str | None, timezone: str | None) -> Interpretation:
    """Return the collection of the documents, the time zone and the unit. Raises UsageError, ClickException."""
    named = zones.named(timezone) if timezone else None
    try:
        if not is_clarity(source):
            return Interpretation(_collection(file, collection), named, None)
        if collection:
            raise click.UsageError("--collection is for JSON: the rows of a Clarity export say themselves where they belong.")
        can_ask = file != "-" and sys.stdin.isatty() and sys.stderr.isatty()
        return Interpretation("", named or zones.default(can_ask=can_ask), unit(source))
    except Malformed as error:
        raise click.ClickException(_broken_off(file, error, Report())) from error


def _collection(file: str, name: str | None) -> str:
    """Return the collection of the documents in a JSON file. Raises UsageError."""
    if file == "-" and not name:
        raise click.UsageError("The standard input has no name that says where its documents belong: --collection is needed.")
    return name or collection_of(file)


def _broken_off(file: str, error: Malformed, report: Report) -> str:
    name = "The standard input" if file == "-" else file
    if report.stored:
        return f"{name} cannot be read on: {error}. What stands before that is in."
    return f"{name} cannot be read: {error}."


async def _upload(url: str, token: str, rows: Iterator[Record], report: Report, progress: Progress) -> None:
    async with Uploader(url, token, _tell_pause) as uploader:
        await transfer(rows, OnServer(uploader), report, progress)


async def _restore(installation: Installation, rows: Iterator[Record], report: Report, progress: Progress) -> None:
    gc.set_threshold(_SELDOM)  # documents have no cycles, and looking for them takes a tenth of the time
    await installation.documents.prepare(tuple(installation.collections))
    database = InDatabase(Restoring(installation.documents, installation.writing), installation.collections)
    await transfer(_known(rows, installation.collections), database, report, progress)


def _tell_pause(what: str) -> None:
    click.echo(f"apiv3 import: {what}; trying again", err=True)


def _known(rows: Iterator[Record], collections: Collection[str]) -> Iterator[Record]:
    """Yield the rows. Raises UsageError at the first one whose collection does not exist here."""
    for row in rows:
        if row.collection and row.collection not in collections:
            raise unknown_collection(row.collection, collections, "Say --collection.")
        yield row


@contextmanager
def _opened(file: str) -> Iterator[io.BufferedReader]:
    if file == "-":
        yield io.BufferedReader(cast("io.RawIOBase", sys.stdin.buffer))
        return
    try:
        with Path(file).open("rb") as source:
            yield source
    except OSError as error:
        raise click.ClickException(f"{file} cannot be read: {error.strerror}.") from error


@contextmanager
def _progress(source: io.BufferedReader) -> Iterator[Progress]:
    """Show a progress bar on a terminal, unless the size of the input is unknown."""
    length = source.seek(0, io.SEEK_END) if source.seekable() else 0
    if length:
        source.seek(0)
    hidden = not length or not sys.stderr.isatty()
    with click.progressbar(length=length, label="Importing", file=sys.stderr, hidden=hidden) as bar:
        yield bar.update
