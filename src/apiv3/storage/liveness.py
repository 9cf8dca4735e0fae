"""Connections to PostgreSQL that nobody answers any more, although the database is there: found, and ended.

A firewall or a router that forgets its connections tells neither end. A query would then wait for its timeout, and a
transaction would keep its locks in the database. But the database can be asked on a new connection: a process that waits
for us, while we wait for its answer, will never give one.
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
"""What a connection that is lost, or was never made, raises."""
SILENCE = 2.0
"""Seconds without an answer after which the database is asked about a connection."""
INTERVAL = 1.0
"""Seconds between two looks at the connections."""
PROBE_TIMEOUT = 3.0
"""Seconds that the database may take to say what its processes do."""
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
"""Options by which the system itself notices a dead connection in six seconds, where it knows them; in seconds but for the
last one, which is in milliseconds."""

_log = logging.getLogger(__name__)


class Watched(asyncpg.Connection):
    """A connection that notes, by the monotonic clock, since when it waits for an answer (0: it does not), and when the last
    one came. `suspect`: the question after which the database was found to wait for us, too.
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
    """Looks after the connections that are added. `connect`: makes a new one, to ask the database on."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        self._connect = connect
        self._connections: weakref.WeakSet[Watched] = weakref.WeakSet()

    def add(self, connection: Watched) -> None:
        self._connections.add(connection)

    async def run(self) -> None:
        """Look after them until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            limit = time.monotonic() - SILENCE
            silent = [each for each in self._connections if 0 < each.asked < limit and not each.is_closed()]
            if silent:
                with suppress(*LOST):
                    async with asyncio.timeout(PROBE_TIMEOUT):
                        await self._probe(silent)

    async def _probe(self, silent: Sequence[Watched]) -> None:
        """Ask the database about those that are silent, and end them when it says for the second time that it waits for us:
        at the first time the answer may have been on its way.
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
        """Those that have heard nothing since the dead one asked are ended, too, unless they wait for an answer."""
        _log.warning("a connection to the database is dead, although the database is there; making new ones")
        since = dead.asked
        for each in list(self._connections):
            if each is dead or (not each.asked and each.heard < since):
                each.terminate()


async def _states(probe: Connection, pids: Sequence[int]) -> Mapping[int, str]:
    """What the database's processes do, by their numbers; "active" also for what it does not tell."""
    rows = await probe.fetch(_WAITING, ",".join(map(str, pids)))
    return {int(pid): state or "active" for pid, state in rows}
