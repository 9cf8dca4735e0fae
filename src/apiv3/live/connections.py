"""Socket.IO: the namespaces that a client joins over its session, and the events in them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from apiv3.live import packets
from apiv3.live.packets import CONNECT, DISCONNECT, EVENT, Packet, ProtocolError
from apiv3.live.sessions import Session
from apiv3.model.errors import ApiError, BadRequest
from apiv3.security.credentials import Credential

_log = logging.getLogger(__name__)
MOST_EVENTS = 5
"""Most events of one connection that are handled at the same time; one more ends the connection."""
_INTERNAL = {"success": False, "message": "Internal error"}


class Member:
    """A client in a namespace. `gone`: whether it has left. `busy`: whether it has a subscription, so that it is not idle."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self.connection, self.namespace = connection, namespace
        self.gone = False
        self.busy = False

    @property
    def address(self) -> str:
        """The client's address."""
        return self.connection.session.address

    @property
    def credential(self) -> Credential | None:
        """What the client connected with, None if it sends a credential in a message."""
        return self.connection.session.credential

    def send(self, packet: str) -> None:
        """Send a packet of this namespace, as made by `packets`."""
        self.connection.session.send(packet)

    def expel(self) -> None:
        """Remove the client from the namespace, and tell it so."""
        if not self.gone:
            self.send(packets.packet(DISCONNECT, self.namespace))
            self.connection.leave(self)


class Namespace(Protocol):
    """A namespace of Socket.IO."""

    async def handle(self, member: Member, event: str, arguments: list[Any]) -> Any:
        """Handle an event and return the acknowledgement. Raises ApiError, whose message is then the acknowledgement."""

    def leave(self, member: Member) -> None:
        """Clean up after a member that has left."""


class Lobby:
    """The default namespace `/`, which every client of Socket.IO 2 joins first. It has no events."""

    async def handle(self, _member: Member, _event: str, _arguments: list[Any]) -> Any:
        raise unknown_event()

    def leave(self, _member: Member) -> None:
        """Do nothing."""


def unknown_event() -> BadRequest:
    return BadRequest("Unknown event")


class Connection:
    """One client in its namespaces. `patience`: seconds after which it is disconnected if it has no subscription."""

    def __init__(self, session: Session, namespaces: Mapping[str, Namespace], patience: float) -> None:
        self.session = session
        self._namespaces, self._patience = namespaces, patience
        self._members: dict[str, Member] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        session.on_message = self.receive
        session.on_close.append(self.closed)
        self._timer = self._watch()
        if session.version == 3:  # these clients are in the default namespace without asking
            self._enter("/")

    def receive(self, message: str) -> None:
        """Handle a message from the client. Raises ProtocolError."""
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
        """Remove the client from a namespace."""
        member.gone = True
        del self._members[member.namespace]
        self._namespaces[member.namespace].leave(member)

    def _begin(self, packet: Packet, member: Member | None) -> None:
        if not (isinstance(packet.data, list) and packet.data and isinstance(packet.data[0], str)):
            raise ProtocolError("an event without a name")
        if member is None:  # the client did not know yet that it was expelled
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

    # --- end

    def _watch(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(self._patience, self._check)

    def _check(self) -> None:
        if self._tasks or any(member.busy for member in self._members.values()):
            self._timer = self._watch()
        else:
            self.session.close()

    def closed(self) -> None:
        """Clean up after the session has ended."""
        self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        for member in list(self._members.values()):
            self.leave(member)
