"""Sessions without a server around them: what depends on time or on size."""

import asyncio
from collections.abc import Callable

import pytest

from apiv3.live.packets import ProtocolError, split
from apiv3.live.sessions import Rules, Session

BRIEF = Rules(interval=0.02, patience=0.02, timeout=0.02, buffer=100, room=50)
LASTING = Rules(patience=60, buffer=100, room=50)


def _session(version: int, rules: Rules) -> Session:
    return Session("sid", version, "192.0.2.1", rules, ())


class Stuck:
    """A wire whose other side takes nothing and says nothing."""

    async def accept(self) -> None: ...

    async def receive(self) -> str | None:
        await asyncio.Event().wait()
        return None

    async def send(self, _text: str) -> None:
        await asyncio.Event().wait()


@pytest.mark.parametrize("version", [3, 4])
async def test_a_client_without_a_heartbeat_is_let_go(version: int) -> None:
    session = _session(version, BRIEF)
    over = asyncio.Event()
    session.on_close.append(over.set)
    async with asyncio.timeout(20):
        await over.wait()
        assert await session.poll() == ("1:1" if version == 3 else "1")


async def test_heartbeats_go_on_as_long_as_they_are_answered() -> None:
    session = _session(4, Rules(interval=0.01))
    greeting, *beats = split(4, await session.poll())
    assert greeting.startswith("0")
    async with asyncio.timeout(20):
        for _ in range(5):
            beats += split(4, await session.poll())
            session.post("3")
    assert beats == ["2"] * 5
    session.close()


async def test_heartbeats_of_version_3_are_answered() -> None:
    session = _session(3, LASTING)
    await session.poll()
    session.post("1:26:2probe")
    assert split(3, await session.poll()) == ["3", "3probe"]
    session.close()


async def test_who_leaves_too_much_lying_is_dropped() -> None:
    session = _session(4, LASTING)
    await session.poll()
    session.send("4" + "x" * 1000)  # alone it may be of any size
    assert not session.closed
    session.send("4")
    assert session.closed


@pytest.mark.parametrize("close", [Session.close, lambda session: session.send("x" * 200) or session.send("x")])
async def test_the_end_of_a_session_ends_a_websocket_that_is_stuck(close: Callable[[Session], None]) -> None:
    session = _session(4, LASTING)
    async with asyncio.timeout(20):
        carrying = asyncio.create_task(session.carry(Stuck()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        close(session)
        await carrying


async def test_who_leaves_no_room_in_time_is_dropped() -> None:
    session = _session(4, Rules(patience=0.02, buffer=100, room=50))
    async with asyncio.timeout(20):
        await session.room()  # the greeting alone leaves none
    assert session.closed


async def test_room_is_made_by_receiving() -> None:
    """Whoever polls has received what the last poll took once it polls again."""
    session = _session(4, LASTING)
    waiting = asyncio.create_task(session.room())
    await asyncio.sleep(0)
    await session.poll()
    await asyncio.sleep(0)
    assert not waiting.done()
    polling = asyncio.create_task(session.poll())
    async with asyncio.timeout(20):
        await waiting
    session.send("4")
    assert await polling == "4"
    session.close()


async def test_a_session_has_one_transport_at_a_time() -> None:
    session = _session(4, LASTING)
    carrying = asyncio.create_task(session.carry(Stuck()))
    await asyncio.sleep(0)
    for attempt in (session.poll(), session.upgrade(Stuck())):
        with pytest.raises(ProtocolError):
            await attempt
    with pytest.raises(ProtocolError):
        session.post("6")
    session.close()
    await carrying
