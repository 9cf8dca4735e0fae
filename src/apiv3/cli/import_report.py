"""The report of `apiv3 import`, for people or programs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any, NamedTuple

import click

from apiv3.cli.options import counted, show
from apiv3.cli.zones import Zone
from apiv3.files.destinations import Nowhere
from apiv3.files.transfer import Remark, Report

SHOWN = 20
"""Most refused documents that are listed."""


class Interpretation(NamedTuple):
    """How the documents of a file are to be read.

    `collection`: their collection; empty for a Clarity export, where it depends on the row. `zone`: the time zone of its times.
    `unit`: the unit of its glucose values.
    """

    collection: str
    zone: Zone | None
    unit: str | None

    @property
    def rules(self) -> tzinfo:
        return self.zone.rules if self.zone else UTC


def tell(report: Report, problem: str, interpretation: Interpretation, nowhere: Nowhere | None, *, as_json: bool) -> None:
    """Print the report; `nowhere`: the destination of a dry run. Raises ClickException when there is a `problem`."""
    spans = {name: [_iso(ms, interpretation.rules) for ms in span] for name, span in (nowhere.spans if nowhere else {}).items()}
    if as_json:
        show(_record(report, problem, interpretation, spans, is_dry=nowhere is not None), as_json=True)
    else:
        _print(report, interpretation, spans, is_dry=nowhere is not None)
        if not report.counts and not problem:
            click.echo(counted(0, "document"))
        for remarks in (report.notes, report.refused):
            _tell_some(remarks)
    if problem:
        raise click.ClickException(problem)


Spans = dict[str, list[str]]
"""The first and the last time in each collection."""


def _record(report: Report, problem: str, interpretation: Interpretation, spans: Spans, *, is_dry: bool) -> dict[str, Any]:
    found: dict[str, Any] = {name: dict(each) for name, each in report.counts.items()}
    for name, (first, last) in spans.items():
        found[name] |= {"first": first, "last": last}
    return {
        "complete": not problem,
        "dryRun": is_dry,
        "timezone": interpretation.zone.name if interpretation.zone else None,
        "unit": interpretation.unit,
        "collections": found,
        "refused": [{each.counted: each.place, "reason": each.reason} for each in sorted(report.refused)],
        "notes": [{each.counted: each.place, "note": each.reason} for each in sorted(report.notes)],
    }


def _print(report: Report, interpretation: Interpretation, spans: Spans, *, is_dry: bool) -> None:
    for name, each in report.counts.items():
        if is_dry:
            times = f", from {' to '.join(spans[name])}" if name in spans else ""
            numbers = f"{counted(each['new'], 'document')}{times}, {each['refused']:,} refused"
        else:
            numbers = f"{each['new']:,} new, {each['duplicate']:,} there already, {each['refused']:,} refused"
        click.echo(f"{name or 'no collection'}: {numbers}")
    if is_dry and interpretation.zone:
        click.echo(f"time zone: {interpretation.zone.name}")
    if is_dry and interpretation.unit:
        click.echo(f"unit of glucose: {interpretation.unit}")
    if is_dry:
        click.echo("Nothing was stored.")


def _iso(ms: int, zone: tzinfo) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone).isoformat(timespec="seconds")


def _tell_some(remarks: Sequence[Remark]) -> None:
    for place, unit, reason in sorted(remarks)[:SHOWN]:
        click.echo(f"{unit} {place}: {reason}", err=True)
    if len(remarks) > SHOWN:
        click.echo(f"and {len(remarks) - SHOWN:,} more; --json lists them all", err=True)
