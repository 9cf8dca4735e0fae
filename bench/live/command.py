"""The command scripts/bench live."""

from __future__ import annotations

import resource
import sys

import httpx

from bench.databases import databases, durability
from bench.live import report
from bench.live.measure import Measured, crowd, measure
from bench.live.options import Options
from bench.load import WrongAnswer
from bench.measure import load_generator
from bench.page import Conditions
from bench.processes import Cpus
from bench.report import say

_SPARE = 200
"""Number of open files in addition to the connections of subscribers."""


def live(options: Options, conditions: Conditions) -> int:
    """Measure, print and write the results. Return 0 if all subscribers received all changes, otherwise 1."""
    try:
        _open_enough(options.subscribers)
        measured = _measure(options, conditions.cpus)
    except (WrongAnswer, RuntimeError, httpx.HTTPError) as error:
        say(f"scripts/bench live: {error}")
        return 1
    if options.write:
        report.write(options.write, options, measured, conditions)
    faults = [(each.database, fault) for each in measured for fault in each.faults]
    for database, fault in faults:
        say(f"scripts/bench live: {database}: not told as it must be: {fault}")
    return 1 if faults else 0


def _open_enough(subscribers: int) -> None:
    """Raise the limit of open files for this process and those that it starts. Raise RuntimeError if it stays too low."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    needed = 2 * subscribers + _SPARE  # in the process that has the subscribers of two servers
    if most != resource.RLIM_INFINITY and most < needed:
        raise RuntimeError(
            f"{subscribers:,} subscribers need {needed:,} open files, and the system allows {most:,}: "
            "raise the hard limit (ulimit -Hn), or take fewer --subscribers"
        )


def _measure(options: Options, cpus: Cpus) -> list[Measured]:
    measured = []
    with load_generator(cpus) as run, crowd(cpus) as ask:
        for database in options.databases:
            with databases(database, cpus) as (folder, new):
                measured.append(measure(options, database, folder, new, cpus, run, ask))
            sys.stdout.write(f"{_title(options, database, cpus)}\n\n{report.tables(measured[-1])}\n\n")
            sys.stdout.flush()
    return measured


def _title(options: Options, database: str, cpus: Cpus) -> str:
    changes = f"{options.subscribers:,} subscribers, {options.rate:g} changes a second for {options.seconds:g} s"
    return f"== {database} ({durability(database)}), {changes}; {cpus}"
