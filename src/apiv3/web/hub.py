"""The endpoints of /api/v3/hub: the websocket of devices, their enrolment, and commands for them."""

from __future__ import annotations

from apiv3.hub.commands import Commands
from apiv3.hub.hub import Hub
from apiv3.model.devices import Command
from apiv3.model.documents import Document
from apiv3.model.errors import BadRequest, TooManyRequests
from apiv3.security.devices.enrolment import Enrolment
from apiv3.security.ledger import Budget
from apiv3.web import requests
from apiv3.web.administration import author
from apiv3.web.bodies import Limits, read_object
from apiv3.web.calls import Call
from apiv3.web.responses import Answer, json_answer
from apiv3.web.websockets import WebSocket

PATH = "/api/v3/hub"
SUBPROTOCOL = "apiv3.noise.1"
SLOWEST_PING = 45.0
"""Most seconds between two pings to a device, whatever the setting says."""
_NO_WEBSOCKET = "Devices connect by a websocket with the subprotocol " + SUBPROTOCOL
_UPGRADE = ((b"upgrade", b"websocket"),)


class HubEndpoints:
    """The endpoints of the hub. `live`: the budget of live connections, for handshakes.

    `keepalive`: seconds between two pings to a device.
    """

    def __init__(
        self, hub: Hub, enrolment: Enrolment, commands: Commands, live: Budget, limits: Limits, keepalive: float
    ) -> None:
        self._hub, self._enrolment, self._commands = hub, enrolment, commands
        self._live, self._limits, self._keepalive = live, limits, keepalive

    async def explain(self, _call: Call) -> Answer:
        """Connect a device: an encrypted session over a websocket with the subprotocol `apiv3.noise.1`."""
        return json_answer({"status": 426, "message": _NO_WEBSOCKET}, 426, _UPGRADE)

    async def talk(self, call: Call, socket: WebSocket) -> Answer:
        """Serve the websocket of a device until it ends. Raises BadRequest, TooManyRequests."""
        if SUBPROTOCOL not in call.scope["subprotocols"]:
            raise BadRequest(_NO_WEBSOCKET)
        owner = ("hub", call.origin.place)
        if not self._live.take(owner):
            raise TooManyRequests
        held = True

        def greeted() -> None:
            nonlocal held
            if held:
                held = False
                self._live.give(owner)

        try:
            await socket.accept(SUBPROTOCOL, self._keepalive)
            await self._hub.serve(socket, call.address, greeted)
        finally:
            greeted()
        return Answer(101)

    async def enrol(self, call: Call) -> Answer:
        """Enrol a device: exchange the code of a pairing code for the device's public key."""
        body = await read_object(call, self._limits)
        code, key = body.get("code"), body.get("public_key")
        if not isinstance(code, str) or not isinstance(key, str) or len(code) > 200:
            raise BadRequest("Bad or missing code or public_key: both must be texts")
        device = await self._enrolment.enrol(code, key, call.address)
        return json_answer({"device": device, "hub_key": self._hub.public_key})

    async def command(self, call: Call) -> Answer:
        """Give a device a command: `name`, `arguments` (any JSON), `expires` (ms since 1970; by default in an hour)."""
        body = await read_object(call, self._limits)
        name, expires = body.get("name"), body.get("expires")
        if not isinstance(name, str) or not (expires is None or type(expires) is int):
            raise BadRequest("Bad or missing name (a text), or expires (ms since 1970)")
        given = await self._commands.give(_id(call), name, body.get("arguments"), expires, author(call))
        await self._hub.catch_up()
        return json_answer(_shown(given))

    async def commands(self, call: Call) -> Answer:
        """List the commands of a device, the newest first."""
        return json_answer([_shown(each) for each in await self._commands.of(_id(call), author(call))])

    async def find_command(self, call: Call) -> Answer:
        """Show a command: its state, and what the device said last."""
        return json_answer(_shown(await self._commands.find(_id(call), author(call))))

    async def cancel(self, call: Call) -> Answer:
        """Cancel a command. A device that has received it already may carry it out all the same."""
        return json_answer(_shown(await self._commands.cancel(_id(call), author(call))))


def _id(call: Call) -> str:
    """Return the id in the path, of a device or of a command."""
    return requests.identifier(call.params[0])


def _shown(command: Command) -> Document:
    record: Document = {"_id": command.id, "command": command.id, "device": command.device, "counter": command.counter}
    record |= {"name": command.name, "arguments": command.arguments, "state": command.state, "output": command.output}
    return record | {"made": command.made, "expires": command.expires, "updated": command.updated}
