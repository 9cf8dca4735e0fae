"""The connections of devices are told, too."""

import asyncio

from tests.logins.conftest import BUS
from tests.support.devices import Device, new_device, told
from tests.support.factories import FreshServer
from tests.support.logins import Channel, Session


def _connected(channel: Channel, device: Device) -> Session:
    """The session of a device, once its connection is heard of."""
    while True:
        for session in channel.sessions.values():
            if session["user"]["_id"] == device.id:
                return session
        channel.next()


async def test_a_connection_is_told_from_its_beginning_to_its_end(fresh_server: FreshServer, database: str) -> None:
    hub = fresh_server(database, workers=2)
    service, device = hub.subject("service", BUS), await new_device(hub)
    with Channel(hub, service) as channel:
        async with device.connected():
            session = await asyncio.to_thread(_connected, channel, device)
            assert (session["via"], session["address"], session["expires"]) == ("device", "127.0.0.1", None)
        assert await asyncio.to_thread(channel.reason, session) == "ended"
        async with device.connected() as connection:
            session = await asyncio.to_thread(_connected, channel, device)
            await told(hub, "revoke", device.name)
            assert await asyncio.to_thread(channel.reason, session) == "revoked"
            assert await connection.closed() == 4401
