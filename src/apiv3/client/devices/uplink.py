"""A device's way to its hub: connects again and again, sends what waits, and passes on what comes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple

from apiv3.client.devices.clock import HubClock
from apiv3.client.devices.commands import Commands, Handler, read_command
from apiv3.client.devices.connection import Connection, Ended, Envelope, Trust, connection
from apiv3.client.devices.folder import Hub
from apiv3.client.devices.keyring import Keyring
from apiv3.client.devices.logs import log_of
from apiv3.client.devices.messages import Message, Messages, SetAside
from apiv3.client.devices.pauses import Ending, Pauses

Status = Literal["connected"] | Ending
"""`lost`: no connection, for the moment; `rejected`: the hub does not know the key; `replaced`: another machine connected with
the same key."""
ANSWER_TIMEOUT = 60.0
"""Seconds after which a hub that does not answer a message is asked on another connection."""
RETRY = 1.0
"""Seconds before a message that was refused is sent again, and before the other one of two keys is tried."""
_BUSY = frozenset({408, 429, 502, 503, 504})
"""Statuses that say nothing about the message: the hub cannot take any for the moment."""
_OFF = "out of tolerance"
"""What the hub says of a message whose time is not its own. The next handshake tells the hub's time again."""
_ENVELOPE = 300
"""Bytes that an envelope needs beside its body, at most."""


class Handlers(NamedTuple):
    """What the program does when something happens; see `Device.open`."""

    command: Handler | None = None
    update: Callable[[Mapping[str, Any]], Awaitable[object]] | None = None
    status: Callable[[Status, str], object] | None = None
    set_aside: Callable[[SetAside], object] | None = None


@dataclass
class Uplink:
    """The connections of one device, one after the other. `software`: what the hub's administrators see of this program."""

    hub: Hub
    software: str
    trust: Trust
    clock: HubClock
    keyring: Keyring
    messages: Messages
    commands: Commands
    handlers: Handlers
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there may be something to send."""
    connected: asyncio.Event = field(default_factory=asyncio.Event)
    progress: asyncio.Condition = field(default_factory=asyncio.Condition)
    """Notified when nothing waits to be sent any more, and after each connection."""
    _pauses: Pauses = field(default_factory=Pauses)
    _answers: dict[str, asyncio.Future[Envelope]] = field(default_factory=dict)
    _orders: asyncio.Queue[Callable[[], Awaitable[None]]] = field(default_factory=asyncio.Queue)

    async def connect(self) -> None:
        """Be connected until the connection ends, then pause."""
        started = time.monotonic()
        ending: Ending = "lost"
        try:
            await self._be_connected()
        except Ended as ended:
            ending = ended.ending
            self._tell(ending, str(ended))
        finally:
            self.connected.clear()
        pause = self._pauses.after(ending, time.monotonic() - started)
        if ending == "rejected" and self.keyring.reject():
            pause = RETRY
        await asyncio.sleep(pause)

    async def do_orders(self) -> None:
        """Do the next thing that the hub has asked for. They are done one after the other, and do not hold up messages."""
        await (await self._orders.get())()
        self.news.set()

    async def _be_connected(self) -> None:
        """Connect; send and receive until the connection ends. Raises Ended."""
        keys = await self.keyring.choose()
        async with connection(self.hub, keys, self.software, self.trust, self.clock.set, self.clock.now) as link:
            if self.keyring.is_new:  # the hub's answer will show that it has accepted the key
                await self.messages.add_logs([log_of(self.clock.now(), "info", "This device has a new key")])
            tasks = [asyncio.create_task(self._receive(link)), asyncio.create_task(self._drain(link))]
            try:
                ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                ended.pop().result()
            finally:  # no TaskGroup: it forgets that it was cancelled when a task of it fails in the same moment
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                self._answers.clear()
                await self._tell_progress()  # the last answer may have come in the moment in which the connection ended

    # --- what comes

    async def _receive(self, link: Connection) -> None:
        """Handle what the hub sends. Raises Ended."""
        while True:
            envelope = await link.receive()
            if not self.connected.is_set():
                self.keyring.accept()
                self.connected.set()
                self._tell("connected", "")
            if envelope.type in ("ack", "error"):
                self._take_answer(envelope)
            else:
                await link.answer(envelope, await self._handle(envelope))

    def _take_answer(self, envelope: Envelope) -> None:
        answer = self._answers.pop(envelope.re, None)
        if answer and not answer.done():
            answer.set_result(envelope)

    async def _handle(self, envelope: Envelope) -> tuple[int, str] | None:
        """Do what a message says, or order it; return what is wrong with it."""
        match envelope.type, envelope.body:
            case "time", {"now": int(now)}:
                self.clock.set(now)
            case "key.rotate", _:
                await self.keyring.renew()
            case "update.offer", offer:
                self._orders.put_nowait(partial(self._offer_update, offer))
            case "command", body:
                return await self._take_command(body)
            case _:
                return 400, "This device knows no such message"
        self.news.set()
        return None

    async def _take_command(self, body: dict[str, Any]) -> tuple[int, str] | None:
        try:
            command = read_command(body)
        except ValueError as error:
            return 400, str(error)
        if await self.commands.take(command, self.clock.now()):
            self._orders.put_nowait(partial(self.commands.do, command, self.handlers.command))
        self.news.set()
        return None

    async def _offer_update(self, offer: Mapping[str, Any]) -> None:
        if self.handlers.update:
            await self.handlers.update(offer)

    # --- what goes

    async def _drain(self, link: Connection) -> None:
        """Send what waits, one message after the other. Raises Ended."""
        while True:
            self.news.clear()
            message = await self.messages.next()
            if message is None:
                await self._tell_progress()
                await self.news.wait()
                continue
            if message.tries:
                await asyncio.sleep(RETRY)
            await self._settle(message, await self._answered(link, message))

    async def _answered(self, link: Connection, message: Message) -> Envelope:
        """Send a message and return the hub's answer. Raises Ended."""
        if len(message.body.encode()) + _ENVELOPE > link.longest:
            return Envelope("error", "", message.id, {"status": 413, "message": "The hub takes no message of this length"})
        answer: asyncio.Future[Envelope] = asyncio.get_running_loop().create_future()
        self._answers[message.id] = answer
        await link.send(message.type, message.id, message.body)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                return await answer
        except TimeoutError:
            raise Ended("lost", "the hub does not answer") from None

    async def _settle(self, message: Message, answer: Envelope) -> None:
        """Do what an answer says. Raises Ended if the hub cannot take messages for the moment, and to use another key."""
        match answer.type, answer.body:
            case "ack", {"results": list(results)} if message.type == "data":
                self._tell_aside(await self.messages.refuse_documents(message, results))
            case "ack", _:
                await self.messages.remove(message)
                if message.type == "key.new":
                    raise Ended("lost", "the device connects again, with its new key")
            case _, {"status": int(status), "message": str(text)} if status in _BUSY or (status == 401 and _OFF in text):
                raise Ended("lost", f"the hub answers {status}: {text}")
            case _, body:
                await self._refuse(message, body)

    async def _refuse(self, message: Message, body: Mapping[str, Any]) -> None:
        status = body.get("status")
        if status == 413 and message.type == "data" and len(json.loads(message.body)["documents"]) > 1:
            await self.messages.split(message)
            return
        aside = await self.messages.refuse(message, status if isinstance(status, int) else 500, str(body.get("message", "")))
        if aside and message.type == "key.new":
            self.keyring.give_up()
        self._tell_aside([aside] if aside else [])

    # --- what is told

    async def _tell_progress(self) -> None:
        async with self.progress:
            self.progress.notify_all()

    def _tell(self, status: Status, reason: str) -> None:
        if self.handlers.status:
            self.handlers.status(status, reason)

    def _tell_aside(self, aside: Sequence[SetAside]) -> None:
        for each in aside:
            if self.handlers.set_aside:
                self.handlers.set_aside(each)
