"""`apiv3 export`: write a collection of any size to a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from apiv3.cli.completion import collection_names
from apiv3.cli.installation import run
from apiv3.cli.options import counted, moment, show, unknown_collection
from apiv3.files.writing import FORMATS, Span
from apiv3.installation import Installation
from apiv3.model import timestamps


@click.command()
@click.argument("collection", shell_complete=collection_names)
@click.option("--since", help="Only documents from this time on: a date, or a time in any supported format.")
@click.option("--until", help="Only documents before this time.")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="ndjson", show_default=True, help="NDJSON, or CSV.")
@click.option(
    "--output",
    type=click.Path(),
    help="The file to write; it is created once it is complete. Default, or `-`: the standard output.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a summary as JSON; only with --output.")
def export(collection: str, since: str | None, until: str | None, form: str, output: str | None, as_json: bool) -> None:
    """Export all documents of COLLECTION, deleted ones included, in the order of their last changes.

    The time of a document is its date, or else the time when it was stored. `apiv3 import` of the NDJSON into an empty
    collection restores the same documents, with their server times.

    In CSV, a text that looks like a spreadsheet formula, such as `=1+1`, gets an apostrophe before it, because anybody who may
    write a note could otherwise run a formula on the computer that opens the file. The format csv-exact adds none.

    \b
    apiv3 export entries --output entries.ndjson
    apiv3 export treatments --since 2026-01-01 --until 2026-02-01 --format csv >january.csv
    """
    output = None if output == "-" else output
    if as_json and not output:
        raise click.UsageError("--json tells what was written to a file: it needs --output.")
    begin = moment("--since", since) if since else 0
    end = moment("--until", until) if until else timestamps.LAST_DATE + 1
    if begin >= end:
        raise click.UsageError(f"--since {since} is not before --until {until}: no document can lie between them.")

    async def work(installation: Installation) -> int:
        if collection not in installation.collections:
            raise unknown_collection(collection, installation.collections)
        with _target(output) as file:
            return await FORMATS[form](installation.documents, collection, Span(begin, end), file)

    number = run(work)
    if as_json:
        show({"collection": collection, "documents": number, "file": output}, as_json=True)
    else:
        click.echo(f"{collection}: {counted(number, 'document')} exported", err=True)


@contextmanager
def _target(output: str | None) -> Iterator[BinaryIO]:
    """Open the standard output or a file for the length of a block. Raises ClickException."""
    if output is None:
        if sys.stdout is None:  # it is closed
            raise click.ClickException("There is no standard output; --output names a file.")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(output)
    try:
        # A pipe or a device is written to, not replaced.
        with target.open("wb") if target.exists() and not target.is_file() else _whole(target) as file:
            yield file
    except BrokenPipeError:  # the reader has closed the pipe; click exits silently
        raise
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}.") from error


@contextmanager
def _whole(target: Path) -> Iterator[BinaryIO]:
    """Write a file under a temporary name, and rename it when it is complete. A symbolic link is followed."""
    target = Path(os.path.realpath(target))  # unlike resolve(), this accepts a loop of links
    part = target.with_name(f"{target.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
