"""The namespace /alarm (docs/reference/protocol.md, section 5): send alarms to members, and receive acknowledgements."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from apiv3.live import packets
from apiv3.live.audience import Audience, wish
from apiv3.live.bells import Bells
from apiv3.live.connections import Member, unknown_event
from apiv3.live.lookout import Lookout
from apiv3.model.alarms import INFO, URGENT, WARNING, Alarm, Notification
from apiv3.model.errors import BadRequest, Forbidden
from apiv3.operations.alarming import Alarming
from apiv3.security.demands import ACKNOWLEDGE
from apiv3.security.permissions import Demand

NAME = "/alarm"
_log = logging.getLogger(__name__)
LONGEST_GROUP = 100
SILENCE = 30 * 60 * 1000
"""Milliseconds for which an alarm is silenced by default."""
LONGEST_SILENCE = 24 * 60 * 60 * 1000
"""Most milliseconds for which one acknowledgement can silence an alarm."""

_HEAR = Demand.of("api", "entries", "read")


class AlarmNamespace:
    """The namespace /alarm."""

    def __init__(self, audience: Audience, alarming: Alarming, bells: Bells) -> None:
        self._audience = audience
        self._lookout = Lookout(alarming, bells, self._tell)

    def _tell(self, notification: Notification) -> None:
        self._audience.send(_packet(notification))

    async def handle(self, member: Member, event: str, arguments: list[Any]) -> Any:
        if event == "subscribe":
            return await self._subscribe(member, arguments)
        if event == "ack":
            return await self._silence(member, arguments)
        raise unknown_event()

    async def _subscribe(self, member: Member, arguments: list[Any]) -> dict[str, Any]:
        identity = await self._audience.identify(member, wish(arguments).get("accessToken"))
        if not identity.principal.allows(_HEAR):
            raise Forbidden("Unauthorized to receive alarms")
        async with self._lookout.joining() as on:
            self._audience.admit(member, identity, [_HEAR])
            # Runs after the answer to `subscribe` was sent, and before the next notification of the lookout.
            asyncio.get_running_loop().call_soon(_greet, member, on)
        return {"success": True, "message": "Subscribed for alarms"}

    async def _silence(self, member: Member, arguments: list[Any]) -> dict[str, Any]:
        principal = self._audience.demand(member, ACKNOWLEDGE)
        level, group, silence = _acknowledged(arguments)
        await self._lookout.acknowledge(level, group, silence)
        _log.info(
            "%s silenced alarms of group %r up to level %d for %d s",
            principal.name or "somebody",
            group,
            level,
            silence // 1000,
        )
        return {"success": True}

    def leave(self, member: Member) -> None:
        self._audience.end(member)
        if not self._audience:
            self._lookout.end()


def _greet(member: Member, on: Sequence[Alarm]) -> None:
    """Send a new subscriber the alarms that are on."""
    if not member.gone:
        for alarm in on:
            member.send(_packet(Notification(alarm.event, alarm.payload or {})))


def _packet(notification: Notification) -> str:
    return packets.event(NAME, notification.event, packets.dumps(notification.payload))


def _acknowledged(arguments: list[Any]) -> tuple[int, str, int]:
    """Return level, group, and ms of silence; missing, null or 0 means the default. Raises BadRequest."""
    match arguments:
        case [level, str(group), *rest] if _is_level(level) and len(group) <= LONGEST_GROUP:
            silence = SILENCE if not rest or rest[0] in (None, 0) else rest[0]
            if isinstance(silence, int) and 0 <= silence <= LONGEST_SILENCE:
                return level, group, int(silence)
    raise BadRequest("Bad acknowledgement: it must be a level, a group, and ms of silence, up to a day")


def _is_level(value: object) -> bool:
    return type(value) is int and value in (INFO, WARNING, URGENT)
