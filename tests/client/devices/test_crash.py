"""A device whose program is killed at any moment: what `send` has returned for arrives, once."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from tests.support.hub import Envelope, FakeHub
from tests.support.processes import clean_environment

PROGRAM = """
import asyncio, sys
from pathlib import Path
from apiv3.client.devices import Device, pauses

pauses.BOUNDS = {ending: (0.01, 0.01) for ending in pauses.BOUNDS}

async def main():
    async with Device.open(Path(sys.argv[1])) as device:
        for number in range(int(sys.argv[2]), int(sys.argv[3])):
            await device.send("entries", [{"number": number}])
            print(number, flush=True)
        await device.drained()

asyncio.run(main())
"""
NUMBER = 80
KILLS = 3


async def run(folder: Path, start: int, end: int, kill_after: int | None) -> int:
    """Runs a program that sends these numbers, killed when so many of them are on disk; returns the last one it told of."""
    command = (sys.executable, "-c", PROGRAM, str(folder), str(start), str(end))
    process = await asyncio.create_subprocess_exec(*command, env=clean_environment(), stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    last = start - 1
    async for line in process.stdout:
        last = int(line)
        if kill_after is not None and last - start >= kill_after:
            process.kill()
            break
    last = max([last, *map(int, (await process.stdout.read()).split())])  # what it told of before it died
    assert await process.wait() == (0 if kill_after is None else -9)
    return last


async def test_a_program_that_is_killed_loses_and_doubles_nothing(hub: FakeHub, tmp_path: Path) -> None:
    chance, told = random.Random(7), set[int]()

    def forgetful(_: Envelope) -> Envelope | None:
        if chance.random() > 0.1:
            return {}
        assert hub._live is not None
        hub._live[0].transport.abort()
        return None

    hub.answer = forgetful
    folder, next_number = hub.enrol(tmp_path / "device").path, 0
    for _ in range(KILLS):
        last = await run(folder, next_number, NUMBER, kill_after=chance.randrange(5, 20))
        told |= set(range(next_number, last + 1))
        next_number = last + 2  # the next one may be on disk, although the program died before it told of it
    last = await run(folder, next_number, NUMBER, kill_after=None)
    told |= set(range(next_number, last + 1))
    numbers = [document["number"] for document in hub.documents()]
    assert len(set(numbers)) == len(numbers)
    assert set(numbers) >= told
    assert len(told) > NUMBER - 2 * KILLS
