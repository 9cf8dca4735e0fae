"""The command scripts/bench devices."""

from __future__ import annotations

import argparse
import resource
from collections.abc import Callable
from pathlib import Path

from bench.devices.crowd import AT_ONCE
from bench.devices.measure import SENDERS, Measured, Sizes, measure
from bench.devices.report import introduction, tables
from bench.options import between
from bench.page import Conditions
from bench.part import Part, add_rounds

_DESCRIPTION = f"""\
Measures what connected devices cost a server process, how fast they send, and how soon they are cut off.

  MESSAGES    documents that {SENDERS} devices send as messages, and as many by {SENDERS} connections as bulk requests
  HANDSHAKES  devices connect, {AT_ONCE} at a time, each until the hub has accepted it
  MEMORY      resident memory of the server process before and after all devices have connected, which are then idle
  REVOCATION  from the request that revokes a device to the end of its connection, by the same and by another process
"""

_EPILOG = """\
How to read the tables:

  messages/s, bulk/s  median of the rounds; each message or request has the number of documents that the row names.
  speed is            messages a second divided by bulk requests a second: the median of the rounds' ratios, with the lowest
                      and the highest in brackets
  aim                 what the median, the memory or the p95 should be. "reached" says whether it is so in this run.

An aim that is not reached does not change the exit status, because it depends on the machine; a wrong answer does.
"""


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--devices", type=between(1, 10_000, int), default=1_000, help="connected devices (1000)")
    parser.add_argument("--revoked", type=between(1, 500, int), default=20, help="devices that each process revokes (20)")
    add_rounds(parser, "number of rounds of each kind (5)")


def _sizes(given: argparse.Namespace) -> Sizes:
    return Sizes(given.devices, given.revoked, given.seconds, given.rounds)


def _measure(sizes: Sizes, database: str, folder: Path, new: Callable[[str], str], conditions: Conditions) -> Measured:
    """Measure one database. Each device takes a descriptor of this process."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return measure(sizes, database, folder, new("devices"), conditions.cpus)


PART = Part(
    name="devices",
    description=_DESCRIPTION,
    epilog=_EPILOG,
    add=_add,
    sizes=_sizes,
    measure=_measure,
    title="Benchmarks of devices",
    introduction=introduction,
    tables=lambda measured, _: tables(measured),
)
