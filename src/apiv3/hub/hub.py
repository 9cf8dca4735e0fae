"""The hub: the devices that are connected to this process.

A device has one connection, whatever process holds it: the database says which, and every process ends those that are not it.
What a device must be told, and that it must be cut off, processes learn by the revision of devices, within a second.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from apiv3.hub import envelopes
from apiv3.hub.commands import told
from apiv3.hub.envelopes import Envelope, Malformed
from apiv3.hub.messages import Messages
from apiv3.hub.session import (
    FAILED,
    HANDSHAKE,
    MALFORMED,
    REJECTED,
    REPLACED,
    TOO_SLOW,
    TRY_LATER,
    Gone,
    Greeting,
    Session,
    Socket,
    shake_hands,
)
from apiv3.model.devices import Machine, Visit
from apiv3.model.errors import ApiError, StorageUnavailable
from apiv3.model.timestamps import now
from apiv3.noise import KeyPair, NoiseError
from apiv3.security.devices.keys import text_of
from apiv3.security.devices.updates import update_secret
from apiv3.security.policy import Policies
from apiv3.security.sightings import Sightings
from apiv3.storage.contracts.devices import CommandStore, DeviceStore, MessageStore
from apiv3.storage.contracts.updates import OfferStore

SAVING = 30.0
"""Seconds between two times when the database learns when connected devices were last heard of."""
PRUNING = 600.0
"""Seconds between two deletions of old messages."""
BATCH = 1000
"""Most messages that are deleted in one transaction."""
INTERVAL = 0.25
"""Seconds after which the database learns that a connection has ended."""
CLOCK = 3600.0
"""Seconds after which a device is told the time again."""
PATIENCE = 5.0
"""Seconds before something that could not be told is tried again."""
_log = logging.getLogger(__name__)


class Hub:
    """The devices that are connected to this process. `kept`: ms for which messages are remembered."""

    def __init__(
        self,
        keys: KeyPair,
        devices: DeviceStore,
        messages: MessageStore,
        commands: CommandStore,
        offers: OfferStore,
        handler: Messages,
        policies: Policies,
        kept: int,
    ) -> None:
        self._keys, self._devices, self._messages, self._commands = keys, devices, messages, commands
        self._offers, self._handler, self._policies, self._kept = offers, handler, policies, kept
        self._sessions: dict[str, Session] = {}
        self._left: dict[str, str] = {}
        """Device -> its connection that has ended, as far as the database does not know that yet."""
        self._sightings = Sightings(devices)
        self._tasks: set[asyncio.Task[None]] = set()
        self._revision = 0
        policies.on_change.append(self._review)

    @property
    def public_key(self) -> str:
        """The key by which devices recognize the hub."""
        return text_of(self._keys.public)

    # --- one connection

    async def serve(self, socket: Socket, address: str, greeted: Callable[[], None]) -> None:
        """Serve the connection of a device until it ends.

        `address`: where it comes from. `greeted`: called as soon as it is known whose connection this is.
        """
        session = await self._greet(socket, address)
        greeted()
        if session is None:
            return
        code = FAILED
        try:
            while not session.is_over:
                await self._take(session, await session.receive())
        except (NoiseError, Malformed) as error:
            _log.warning("the device %r sent a message that cannot be read: %s", session.machine.subject.name, error)
            code = MALFORMED
        except (Gone, OSError):
            code = 1000
        finally:
            self._leave(session)
            if not session.is_over:
                await session.end(code)

    async def _greet(self, socket: Socket, address: str) -> Session | None:
        """Do the handshake and begin a session; None when the device was turned away. Nothing is told to who has no key."""
        try:
            async with asyncio.timeout(HANDSHAKE):
                greeting = await shake_hands(socket, self._keys)
                session = await self._begin(greeting, socket, address)
        except (NoiseError, Malformed):
            await socket.close(MALFORMED)
        except TimeoutError:
            await socket.close(TOO_SLOW)
        except StorageUnavailable:
            await socket.close(TRY_LATER)
        except (Gone, OSError):
            pass
        else:
            if session is None:
                _log.info("a device with an unknown or ended key was turned away, at %s", address)
                await socket.close(REJECTED)
            return session
        return None

    async def _begin(self, greeting: Greeting, socket: Socket, address: str) -> Session | None:
        """Begin the session of the device that has this key; None when there is none, or it may not connect."""
        machine = await self._devices.by_key(greeting.public_key, now())
        if machine is None or machine.subject.disabled:
            return None
        await self._policies.catch_up()  # the device may be newer than the policy of this process
        visit = Visit(str(uuid.uuid4()), address, greeting.software)
        if not await self._devices.connect(machine.device.id, greeting.public_key, visit, now()):
            return None
        session = Session(visit.id, machine, greeting, socket)
        before = self._sessions.get(machine.device.id)
        self._sessions[machine.device.id] = session
        if before is not None:
            self._run(self._end(before, REPLACED))
        self._wake(session)
        return session

    async def _take(self, session: Session, envelope: Envelope) -> None:
        """Do what a device asks for, and answer. Answers of devices need none."""
        if envelope.type in ("ack", "error"):
            return
        try:
            answer = await self._handler.handle(session.machine, envelope)
        except ApiError as refusal:
            await session.send(envelopes.error(refusal, envelope.id))
        else:
            await session.send(envelopes.message("ack", answer, envelope.id))

    def _leave(self, session: Session) -> None:
        """Forget a session that is over, unless another one of the device has taken its place."""
        device = session.machine.device.id
        if self._sessions.get(device) is session:
            del self._sessions[device]
            self._left[device] = session.id

    async def _end(self, session: Session, code: int) -> None:
        if code == REPLACED:
            _log.warning("the device %r has connected again; its connection before is ended", session.machine.subject.name)
        self._leave(session)
        await session.end(code)

    # --- what a device is told

    def _wake(self, session: Session) -> None:
        """Tell a device what it does not know yet, beside other work; once more if that is under way."""
        session.again = True
        if not session.telling:
            session.telling = True
            self._run(self._tell(session))

    async def _tell(self, session: Session) -> None:
        try:
            while session.again and not session.is_over:
                session.again = False
                await self._tell_all(session)
        except OSError:
            pass
        except StorageUnavailable:
            await asyncio.sleep(PATIENCE)
            session.again = True
        except Exception:
            _log.exception("cannot tell the device %r what it must know", session.machine.subject.name)
        finally:
            session.telling = False
        if session.again and not session.is_over:
            self._wake(session)

    async def _tell_all(self, session: Session) -> None:
        device, moment = session.machine.device.id, now()
        machine = await self._devices.find(device)
        if machine is None or not self._may_stay(session, machine):
            await self._end(session, REJECTED)
            return
        if machine.device.connection != session.id:
            await self._end(session, REPLACED)
            return
        deadline = machine.device.rotation
        if deadline is not None and deadline > moment and deadline != session.told_rotation:
            session.told_rotation = deadline
            await session.tell("key.rotate", {"deadline": deadline})
        await self._tell_commands(session, moment)
        await self._tell_offers(session)
        if asyncio.get_running_loop().time() - session.told_time >= CLOCK:
            session.told_time = asyncio.get_running_loop().time()
            await session.tell("time", {"now": now()})

    async def _tell_commands(self, session: Session, moment: int) -> None:
        """Send the commands that are not over, each once in a session; the device knows those that it has had."""
        commands = await self._commands.open(session.machine.device.id, moment)
        waiting = [each for each in commands if each.id not in session.told]
        session.told = {each.id for each in commands}
        for command in waiting:
            await session.send(told(command))
        if waiting:
            await self._commands.sent([each.id for each in waiting], now())

    async def _tell_offers(self, session: Session) -> None:
        """Offer the updates that there are: each once, and again whenever the repository was signed anew."""
        device = session.machine.device.id
        secret = update_secret(self._keys.private, device, session.public_key)
        offers = await self._offers.of(device)
        for offer in offers:
            if offer not in session.offered:
                await session.tell("update.offer", {**offer.fields(), "secret": secret})
        session.offered = offers

    def _may_stay(self, session: Session, machine: Machine) -> bool:
        return machine.device.public_key == session.public_key and not machine.subject.disabled

    # --- all connections

    async def catch_up(self) -> None:
        """Take over what has changed since the last call, in any process. Raises StorageUnavailable."""
        revision, changed = await self._devices.changed(self._revision)
        self._revision = revision
        for device in changed:
            session = self._sessions.get(device)
            if session is not None:
                self._wake(session)

    def _review(self) -> None:
        """End the sessions of devices that were disabled or removed."""
        active = self._policies.current.active
        for device, session in tuple(self._sessions.items()):
            if active(device) is None:
                self._run(self._end(session, REJECTED))

    async def run(self) -> None:
        """Store what the database must know of connections, and tell devices the time, until cancelled."""
        await asyncio.gather(self._sightings.run(SAVING, self._prune, PRUNING), self._keep_up())

    async def _keep_up(self) -> None:
        loop, noted = asyncio.get_running_loop(), 0.0
        while True:
            await asyncio.sleep(INTERVAL)
            with suppress(StorageUnavailable):
                await self._note_ends()
            moment = loop.time()
            if moment - noted < SAVING / 2:
                continue
            noted = moment
            for device, session in tuple(self._sessions.items()):
                self._sightings.note(device)  # the server ends connections whose other end does not answer its pings
                if moment - session.told_time >= CLOCK:
                    self._wake(session)

    async def _note_ends(self) -> None:
        left, self._left = self._left, {}
        if not left:
            return
        try:
            await self._devices.disconnect(left, now())
        except BaseException:
            self._left = left | self._left
            raise

    async def _prune(self) -> None:
        before, deleted = now() - self._kept, BATCH
        while deleted == BATCH:
            deleted = await self._messages.prune(before, BATCH)

    async def save(self) -> None:
        """Store which connections have ended, and when devices were last heard of. Raises StorageUnavailable."""
        await self._note_ends()
        await self._sightings.save()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
