"""Find and close connections to PostgreSQL that are dead although the database is up.

A firewall or a router that drops its table of connections tells neither end. A query would then wait for its timeout, and a
transaction would keep its locks in the database. So the state of the server process is read on a new connection: if it waits
for our next statement while we wait for its answer, the connection is dead.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
LOST = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""The errors raised on a connection that was lost, or that could not be made."""
SILENCE = 2.0
"""Seconds without an answer after which the state of a connection's server process is read."""
INTERVAL = 1.0
"""Seconds between two checks of the connections."""
PROBE_TIMEOUT = 3.0
"""Seconds that the database may take to report the states of its processes."""
_WAITING = """SELECT pid, state FROM pg_stat_activity
    WHERE pid::text = ANY(string_to_array($1, ',')) AND usename = current_user AND backend_start < now() - interval '1 s'"""
_TERMINATE = "SELECT pg_terminate_backend({:d})"
_TCP = {
    "SO_KEEPALIVE": (socket.SOL_SOCKET, 1),
    "TCP_KEEPIDLE": (socket.IPPROTO_TCP, 3),
    "TCP_KEEPINTVL": (socket.IPPROTO_TCP, 1),
    "TCP_KEEPCNT": (socket.IPPROTO_TCP, 3),
    "TCP_USER_TIMEOUT": (socket.IPPROTO_TCP, 6000),
}
"""Socket options with which the operating system notices a dead connection within six seconds, where it supports them. Values
are in seconds, except for the last one, which is in milliseconds."""

_log = logging.getLogger(__name__)


class Watched(asyncpg.Connection):
    """A connection that records when it last sent a statement and received an answer, in seconds of the monotonic clock.

    `asked`: since when it waits for an answer; 0: it does not wait. `heard`: when the last answer came. `suspect`: the `asked`
    of a statement for which the server process was found waiting for us.
    """

    def __init__(self, protocol: Any, transport: Any, *others: Any) -> None:
        super().__init__(protocol, transport, *others)
        self.asked, self.heard, self.suspect = 0.0, time.monotonic(), 0.0
        _set_options(transport.get_extra_info("socket"))

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        self.asked = time.monotonic()
        try:
            return await super().fetch(query, *args, **options)
        finally:
            self.asked, self.heard = 0.0, time.monotonic()

    async def execute(self, query: str, *args: Any, **options: Any) -> Any:
        self.asked = time.monotonic()
        try:
            return await super().execute(query, *args, **options)
        finally:
            self.asked, self.heard = 0.0, time.monotonic()


def _set_options(connected: socket.socket | None) -> None:
    if connected is None or connected.family not in (socket.AF_INET, socket.AF_INET6):
        return
    for name, (level, value) in _TCP.items():
        if hasattr(socket, name):
            connected.setsockopt(level, getattr(socket, name), value)


class Liveness:
    """Watches the connections that are added. `connect`: makes a new connection, on which the states are read."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        self._connect = connect
        self._connections: weakref.WeakSet[Watched] = weakref.WeakSet()

    def add(self, connection: Watched) -> None:
        """Watch a connection, until it is garbage collected."""
        self._connections.add(connection)

    async def run(self) -> None:
        """Check the connections until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            limit = time.monotonic() - SILENCE
            silent = [each for each in self._connections if 0 < each.asked < limit and not each.is_closed()]
            if silent:
                with suppress(*LOST):
                    async with asyncio.timeout(PROBE_TIMEOUT):
                        await self._probe(silent)

    async def _probe(self, silent: Sequence[Watched]) -> None:
        """Read the states of the processes of silent connections, and close those that are found waiting for us twice: the
        first time, the answer may have been on its way.
        """
        questions = [(each, each.get_server_pid(), each.asked) for each in silent]
        probe = await self._connect()
        try:
            states = await _states(probe, [pid for _, pid, _ in questions])
            for each, pid, asked in questions:
                if each.asked != asked or not states.get(pid, "idle").startswith("idle"):
                    continue
                if each.suspect != asked:
                    each.suspect = asked
                    continue
                self._end(each)
                if states.get(pid, "").startswith("idle in transaction"):
                    await probe.execute(_TERMINATE.format(pid))  # it holds locks
        finally:
            probe.terminate()

    def _end(self, dead: Watched) -> None:
        """Close a dead connection, and all idle ones that have received nothing since it sent its statement."""
        _log.warning("a connection to the database is dead although the database is up; making new ones")
        since = dead.asked
        for each in list(self._connections):
            if each is dead or (not each.asked and each.heard < since):
                each.terminate()


async def _states(probe: Connection, pids: Sequence[int]) -> Mapping[int, str]:
    """Return process id -> state of the database's processes; "active" when the database does not tell the state."""
    rows = await probe.fetch(_WAITING, ",".join(map(str, pids)))
    return {int(pid): state or "active" for pid, state in rows}
