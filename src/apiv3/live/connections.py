"""Socket.IO: the namespaces that a client enters over its session, and the events in them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from apiv3.live import packets
from apiv3.live.packets import CONNECT, DISCONNECT, EVENT, Packet, ProtocolError
from apiv3.live.sessions import Session
from apiv3.model.errors import ApiError, BadRequest

_log = logging.getLogger(__name__)
MOST_EVENTS = 5
"""Events of one connection that are worked on at once; the next one is one too many."""
_INTERNAL = {"success": False, "message": "Internal error"}


class Member:
    """A client in a namespace, from its coming until its leaving. `busy`: it receives something, so it is no idle client."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self.connection, self.namespace = connection, namespace
        self.gone = False
        self.busy = False

    @property
    def address(self) -> str:
        """The client's."""
        return self.connection.session.address

    def send(self, packet: str) -> None:
        """A packet of this namespace, ready to go."""
        self.connection.session.send(packet)

    def expel(self) -> None:
        """The client is told that it has left the namespace."""
        if not self.gone:
            self.send(packets.packet(DISCONNECT, self.namespace))
            self.connection.leave(self)


class Namespace(Protocol):
    """What a namespace does."""

    async def handle(self, member: Member, event: str, arguments: list[Any]) -> Any:
        """Work on an event; returns what it is acknowledged with. Raises ApiError, whose message is the acknowledgement."""

    def leave(self, member: Member) -> None:
        """The client is gone."""


class Lobby:
    """The default namespace, which every connection of a Socket.IO 2 client enters first: nothing happens there."""

    async def handle(self, _member: Member, _event: str, _arguments: list[Any]) -> Any:
        raise unknown_event()

    def leave(self, _member: Member) -> None:
        """Nothing to tidy up."""


def unknown_event() -> BadRequest:
    return BadRequest("Unknown event")


class Connection:
    """What one client does in the namespaces. `patience`: seconds that it may stay without a subscription."""

    def __init__(self, session: Session, namespaces: Mapping[str, Namespace], patience: float) -> None:
        self.session = session
        self._namespaces, self._patience = namespaces, patience
        self._members: dict[str, Member] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        session.on_message = self.receive
        session.on_close.append(self.closed)
        self._timer = self._watch()
        if session.version == 3:  # its clients take the default namespace for granted
            self._enter("/")

    def receive(self, message: str) -> None:
        """A message came in. Raises ProtocolError."""
        packet = packets.parse(message)
        member = self._members.get(packet.namespace)
        if packet.kind == CONNECT:
            self._enter(packet.namespace)
        elif packet.kind == EVENT:
            self._begin(packet, member)
        elif packet.kind == DISCONNECT and member is not None:
            self.leave(member)

    def _enter(self, name: str) -> None:
        version = self.session.version
        if name not in self._namespaces:
            self.session.send(packets.refused(version, name, "Invalid namespace"))
            return
        self._members.setdefault(name, Member(self, name))
        self.session.send(packets.connected(version, name, self.session.sid))

    def leave(self, member: Member) -> None:
        """The client is in the namespace no more."""
        member.gone = True
        del self._members[member.namespace]
        self._namespaces[member.namespace].leave(member)

    def _begin(self, packet: Packet, member: Member | None) -> None:
        if not (isinstance(packet.data, list) and packet.data and isinstance(packet.data[0], str)):
            raise ProtocolError("an event without a name")
        if member is None:  # it was sent before the client knew that it had left
            return
        if len(self._tasks) >= MOST_EVENTS:
            raise ProtocolError("too many events at once")
        task = asyncio.create_task(self._handle(packet, member))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handle(self, packet: Packet, member: Member) -> None:
        name, *arguments = packet.data
        try:
            answer = await self._namespaces[member.namespace].handle(member, name, arguments)
        except ApiError as error:
            answer = {"success": False, "message": error.message}
        except Exception:
            _log.exception("an event in %s failed", member.namespace)
            answer = _INTERNAL
        if packet.id is not None and not member.gone:
            member.send(packets.acknowledgement(member.namespace, packet.id, answer))

    # --- the end

    def _watch(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(self._patience, self._check)

    def _check(self) -> None:
        if self._tasks or any(member.busy for member in self._members.values()):
            self._timer = self._watch()
        else:
            self.session.close()

    def closed(self) -> None:
        """The session is over."""
        self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        for member in list(self._members.values()):
            self.leave(member)
