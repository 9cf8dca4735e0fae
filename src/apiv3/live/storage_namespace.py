"""The namespace /storage (docs/reference/protocol.md, section 5): send changes of the collections that a member may read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apiv3.formats.changes import change_json
from apiv3.live import packets
from apiv3.live.audience import Audience, wish
from apiv3.live.connections import Member, unknown_event
from apiv3.live.feed import Feed, Overrun
from apiv3.model.changes import Change, Cursor
from apiv3.model.collections import Collection
from apiv3.model.errors import BadRequest, Forbidden, ServerBusy, StorageUnavailable
from apiv3.security.permissions import Demand

NAME = "/storage"
LARGEST_KEPT = 2_000_000
"""Characters of encoded events above which the cache is emptied."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wish:
    """The argument of `subscribe`. `collections`: None: all that the caller may read. `since`: collection -> `srvModified`, in
    ms.
    """

    token: object
    collections: frozenset[str] | None
    since: Mapping[str, int]


class StorageNamespace:
    """The namespace /storage. `collections`: those of this installation."""

    def __init__(self, audience: Audience, feed: Feed, collections: Mapping[str, Collection]) -> None:
        self._audience, self._feed = audience, feed
        self._encoded = Encoder()
        self._demands = {name: Demand.listing(each) for name, each in collections.items()}

    async def handle(self, member: Member, event: str, arguments: list[Any]) -> Any:
        if event != "subscribe":
            raise unknown_event()
        return await self._subscribe(member, parse(arguments))

    async def _subscribe(self, member: Member, wish: Wish) -> dict[str, Any]:
        identity = await self._audience.identify(member, wish.token)
        wanted = [name for name in self._demands if wish.collections is None or name in wish.collections]
        granted = [name for name in wanted if identity.principal.allows(self._demands[name])]
        if not granted:
            raise Forbidden("Unauthorized to receive any collection")
        begin = await self._feed.cursors({name: wish.since.get(name) for name in granted})
        admission = self._audience.admit(member, identity, [self._demands[name] for name in granted])
        admission.task = asyncio.create_task(self._follow(member, begin, identity.principal.name or ""))
        return {"success": True, "collections": granted}

    def leave(self, member: Member) -> None:
        self._audience.end(member)

    async def _follow(self, member: Member, begin: Mapping[str, Cursor], caller: str) -> None:
        """Send a member the changes after its cursors, as fast as it reads them. `caller`: its subject."""
        session = member.connection.session
        try:
            async with self._feed.subscribe(begin) as changes:
                async for change in changes:
                    if change.is_large:
                        await self._send_large(member, change, caller)
                    else:
                        member.send(self._encoded(change))
                        await session.room()
        except (Overrun, ServerBusy, StorageUnavailable):  # the client comes again, from where it is
            session.close()
        except Exception:
            _log.exception("a subscription to %s failed", NAME)
            member.expel()

    async def _send_large(self, member: Member, change: Change, caller: str) -> None:
        found = await self._feed.large(change, caller)
        if found is not None:
            async with found.hold:
                member.send(packets.event(NAME, change.kind, change_json(change._replace(body=found.body.decode()))))
                del found
                await member.connection.session.room()


class Encoder:
    """Encodes changes as events, with a cache of the latest ones, since all members receive the same."""

    def __init__(self) -> None:
        self._made: dict[Change, str] = {}
        self._size = 0

    def __call__(self, change: Change) -> str:
        packet = self._made.get(change)
        if packet is None:
            packet = packets.event(NAME, change.kind, change_json(change))
            if self._size + len(packet) > LARGEST_KEPT:
                self._made.clear()
                self._size = 0
            self._made[change] = packet
            self._size += len(packet)
        return packet


def parse(arguments: list[Any]) -> Wish:
    """Parse the arguments of `subscribe`. Raises BadRequest."""
    asked = wish(arguments)
    return Wish(asked.get("accessToken"), _names(asked.get("collections")), _cursors(asked.get("from")))


def _names(value: Any) -> frozenset[str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise BadRequest("Bad collections: it must be a list of names")
    return frozenset(value)


def _cursors(value: Any) -> Mapping[str, int]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(type(each) is int and 0 <= each < 2**53 for each in value.values()):
        raise BadRequest("Bad from: it must be an object of collections with a srvModified in ms")
    return value
