"""`apiv3 export`: a collection as a file, of any size."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from apiv3.cli.completion import collection_names
from apiv3.cli.installation import run
from apiv3.cli.output import show
from apiv3.files.writing import FORMATS, Span
from apiv3.installation import Installation
from apiv3.model import timestamps


@click.command()
@click.argument("collection", shell_complete=collection_names)
@click.option("--since", help="Only documents from this time on: a date, or any other form of time.")
@click.option("--until", help="Only documents before this time.")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="ndjson", show_default=True, help="NDJSON or CSV.")
@click.option(
    "--output", type=click.Path(), help="The file to write; it appears once it is complete. By default the standard output."
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON what was written; with --output only.")
def export(collection: str, since: str | None, until: str | None, form: str, output: str | None, as_json: bool) -> None:
    """Export all documents of COLLECTION, deleted ones included, in the order in which they changed last.

    The time of a document is its date, else when it was stored. `apiv3 import` of the NDJSON into an empty collection gives
    the same documents, server times included.

    \b
    apiv3 export entries --output entries.ndjson
    apiv3 export treatments --since 2026-01-01 --until 2026-02-01 --format csv >january.csv
    """
    if as_json and not output:
        raise click.UsageError("--json tells what was written to a file: it needs --output.")
    span = Span(_moment("--since", since, 0), _moment("--until", until, timestamps.LAST + 1))

    async def work(installation: Installation) -> int:
        if collection not in installation.collections:
            names = ", ".join(installation.collections)
            raise click.UsageError(f"There is no collection {collection!r}; there are: {names}.")
        with _target(output) as file:
            return await FORMATS[form](installation.documents, collection, span, file)

    number = run(work)
    if as_json:
        show({"collection": collection, "documents": number, "file": output}, as_json=True)
    else:
        click.echo(f"{collection}: {number:,} documents exported", err=True)


def _moment(option: str, text: str | None, default: int) -> int:
    """A time in ms."""
    try:
        return timestamps.parse(text).ms if text else default
    except ValueError as error:
        raise click.UsageError(
            f"{option} is {text!r}, which is no time; it must be like 2026-01-31 or 2026-01-31T13:05:00Z."
        ) from error


@contextmanager
def _target(output: str | None) -> Iterator[BinaryIO]:
    """The standard output, or a file."""
    try:
        if output is None:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        else:
            with _whole(output) as file:
                yield file
    except BrokenPipeError:  # whoever reads it has enough, and click ends quietly
        raise
    except OSError as error:
        raise click.ClickException(f"{output or 'The export'} cannot be written: {error.strerror}.") from error


@contextmanager
def _whole(output: str) -> Iterator[BinaryIO]:
    """A file that takes its name once it is complete."""
    part = Path(f"{output}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
