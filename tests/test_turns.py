"""Long work and large answers are done in turn: who asks for much delays only itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from apiv3 import turns
from apiv3.model.errors import ServerBusy, TooMuchWork
from apiv3.turns import Effort, Turns, paced

STEP = 0.005
"""Seconds of one step of some work, which is longer than a slice."""


async def test_long_work_is_interrupted_for_that_of_others() -> None:
    done = list[str]()

    def work(caller: str, steps: int) -> Iterator[None]:
        for _ in range(steps):
            time.sleep(STEP)
            done.append(caller)
            yield

    async def run(caller: str, steps: int) -> None:
        async for _ in paced(caller, work(caller, steps), Effort()):
            pass

    await asyncio.gather(run("long", 50), run("short", 5))
    assert "short" not in done[25:]


async def test_work_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MOST_WORK", 0.02)
    with pytest.raises(TooMuchWork):
        async for _ in paced("somebody", iter(int, 1), Effort()):
            pass


async def test_who_asks_often_delays_only_itself() -> None:
    one, served = Turns(1, 1), list[str]()

    async def ask(caller: str) -> None:
        async with one.take(caller):
            served.append(caller)
            await asyncio.sleep(0)

    await asyncio.gather(*[ask("greedy") for _ in range(10)], ask("modest"))
    assert served.index("modest") <= 2


async def test_nobody_holds_more_than_its_share() -> None:
    memory = Turns(10, 6)
    async with memory.take("greedy", 100) as hold:
        assert hold.places == 6
        second = asyncio.create_task(memory.take("greedy", 1).__aenter__())
        async with memory.take("modest", 4):
            assert not second.done()
    assert (await second).places == 1


async def test_who_waits_too_long_is_told_to_come_again_and_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.01)
    one = Turns(1, 1)
    async with one.take("first"):
        with pytest.raises(ServerBusy):
            await one.take("second").__aenter__()
    async with asyncio.timeout(1), one.take("third"):
        pass
