"""The namespace /alarm: alarms go out to those who may read entries, acknowledgements come in (wire contract, section 5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from apiv3.live import packets
from apiv3.live.audience import Audience
from apiv3.live.connections import Member, unknown_event
from apiv3.model.errors import BadRequest, Forbidden
from apiv3.security.permissions import Demand

NAME = "/alarm"
LONGEST_GROUP = 100
LONGEST_SILENCE = 24 * 60 * 60 * 1000
"""Milliseconds for which an alarm can be silenced at once."""

Event = Literal["alarm", "urgent_alarm", "announcement", "clear_alarm", "notification"]
Acknowledge = Callable[[int, str, int], Awaitable[None]]
"""Silences the alarms of a level and group for a time in ms."""

_HEAR = Demand.of("api", "entries", "read")
_SILENCE = Demand.of("notifications", "*", "ack")


class Alarms:
    """The namespace. `acknowledge`: what is done when somebody who may has acknowledged an alarm."""

    def __init__(self, audience: Audience, acknowledge: Acknowledge) -> None:
        self._audience, self._acknowledge = audience, acknowledge

    async def emit(self, event: Event, payload: Any) -> None:
        """Tell everybody in this process who listens."""
        self._audience.send(packets.event(NAME, event, packets.dumps(payload)))

    async def handle(self, member: Member, event: str, arguments: list[Any]) -> Any:
        if event == "subscribe":
            return await self._subscribe(member, arguments)
        if event == "ack":
            return await self._silence(member, arguments)
        raise unknown_event()

    async def _subscribe(self, member: Member, arguments: list[Any]) -> dict[str, Any]:
        request = arguments[0] if arguments else None
        if not isinstance(request, dict):
            raise BadRequest("Bad subscription: it must be an object with accessToken")
        identity = await self._audience.identify(member, request.get("accessToken"))
        if not identity.principal.allows(_HEAR):
            raise Forbidden("Unauthorized to receive alarms")
        self._audience.admit(member, identity, [_HEAR])
        return {"success": True, "message": "Subscribed for alarms"}

    async def _silence(self, member: Member, arguments: list[Any]) -> dict[str, Any]:
        self._audience.demand(member, _SILENCE)
        match arguments:
            case [int(level), str(group), int(silence), *_] if 0 <= silence <= LONGEST_SILENCE and len(group) <= LONGEST_GROUP:
                await self._acknowledge(level, group, silence)
                return {"success": True}
        raise BadRequest("Bad acknowledgement: it must be a level, a group, and ms of silence, up to a day")

    def leave(self, member: Member) -> None:
        self._audience.end(member)
