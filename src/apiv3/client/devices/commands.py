"""Commands from the hub: each is done at most once, in the order of their counters, and answered until the hub knows."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from apiv3.client.devices.database import Database
from apiv3.client.devices.messages import LONGEST_BODY, add, as_text, is_waiting

MOST_KEPT = 1000
"""Commands that are remembered with their results. Older ones are refused by their counter."""


class Command(NamedTuple):
    """A command. `counter`: greater than that of every command before; `expires`: until when it may be begun, in hub time."""

    id: str
    counter: int
    name: str
    arguments: Any
    expires: int


class CommandRejected(Exception):
    """Raised by a handler that does not do a command. The text is the output that the hub shows."""


Handler = Callable[[Command], Awaitable[object]]
"""Does a command and returns its output, a value of JSON. What it raises is the output of a command that failed."""


def read_command(body: dict[str, Any]) -> Command:
    """Return the command in a message. Raises ValueError."""
    match body:
        case {"command": str(id), "counter": int(counter), "name": str(name), "expires": int(expires)} if 0 < counter < 2**63:
            return Command(id, counter, name, body.get("arguments"), expires)
    raise ValueError("no command")


class Commands:
    """The commands that this device has been given."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def resume(self) -> None:
        """Answer those that were under way when the program ended: nobody knows how far they came."""
        await self._database.run(_give_up)

    async def take(self, command: Command, now: int) -> bool:
        """Return whether the command is to be done now, which is then remembered. All others are answered.

        One that is known is answered as before; an older one, and one that is late, is rejected and leaves nothing behind.
        """
        return await self._database.run(lambda connection: _take(connection, command, now))

    async def do(self, command: Command, handler: Handler | None) -> None:
        """Do a command that was taken, and answer it."""
        status, output = await _outcome(command, handler)
        await self._database.run(lambda connection: _finish(connection, command.id, _result(command.id, status, output)))


async def _outcome(command: Command, handler: Handler | None) -> tuple[str, object]:
    if handler is None:
        return "REJECTED", "This device takes no commands"
    try:
        return "SUCCEEDED", await handler(command)
    except CommandRejected as rejected:
        return "REJECTED", str(rejected)
    except Exception as error:
        return "FAILED", f"{type(error).__name__}: {error}"


def _result(id: str, status: str, output: object) -> str:
    """Return the body of an answer. An output that is no JSON, or too long, is said to be so."""
    try:
        body = as_text({"command": id, "status": status, "output": output})
        fault = "too long" if len(body.encode()) > LONGEST_BODY else ""
    except (TypeError, ValueError, RecursionError):
        fault = "no JSON"
    return as_text({"command": id, "status": status, "output": f"The output is {fault}"}) if fault else body


def _take(connection: sqlite3.Connection, command: Command, now: int) -> bool:
    known = connection.execute("SELECT result FROM command WHERE id = ?", (command.id,)).fetchone()
    if known:
        if known[0]:
            _answer(connection, known[0])
        return False
    [last] = connection.execute("SELECT max(counter) FROM command").fetchone()
    if command.counter <= (last or 0):
        return _reject(connection, command, "It is older than the last command")
    if command.expires <= now:
        return _reject(connection, command, "It came too late")
    connection.execute("INSERT INTO command (counter, id) VALUES (?, ?)", (command.counter, command.id))
    newest = "SELECT counter FROM command ORDER BY counter DESC LIMIT ?"
    connection.execute(f"DELETE FROM command WHERE counter NOT IN ({newest})", (MOST_KEPT,))  # noqa: S608
    _answer(connection, _result(command.id, "IN_PROGRESS", None))
    return True


def _reject(connection: sqlite3.Connection, command: Command, why: str) -> bool:
    _answer(connection, _result(command.id, "REJECTED", why))
    return False


def _finish(connection: sqlite3.Connection, id: str, result: str) -> None:
    connection.execute("UPDATE command SET result = ? WHERE id = ?", (result, id))
    _answer(connection, result)


def _answer(connection: sqlite3.Connection, result: str) -> None:
    """Keep an answer to be sent, unless the same one waits already."""
    if not is_waiting(connection, "command.result", result):
        add(connection, "command.result", [result])


def _give_up(connection: sqlite3.Connection) -> None:
    for (command,) in connection.execute("SELECT id FROM command WHERE result IS NULL").fetchall():
        _finish(connection, command, _result(command, "FAILED", "The device was restarted meanwhile"))
