"""Free memory goes back to the system, whatever order blocks are taken and freed in."""

import asyncio
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from apiv3 import memory
from tests.support.waiting import until

MEGABYTE = 1_048_576
SMALL, LARGE = 20_000, MEGABYTE
"""Bytes of blocks that stay with the process when they are free, and of such that do not."""
LEFT = 10 * MEGABYTE
"""Bytes that may stay: what lies between blocks that are still in use."""


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def blocks(size: int, number: int) -> list[bytes]:
    return [b"x" * size for _ in range(number)]


async def until_returned(before: int) -> None:
    """Wait until the process holds hardly more than before."""
    await until(lambda: resident() <= before + LEFT)


def take_small_blocks(number: int = 2000) -> list[bytes]:
    """Take blocks, and free most of them: those that are returned, and stay in use, lie in between."""
    return blocks(SMALL, number)[::40]


async def small_blocks() -> None:
    before = resident()
    in_use = take_small_blocks()
    await until_returned(before + len(in_use) * SMALL)


async def small_blocks_while_large_ones_end() -> None:
    """The large ones make up for what the small ones leave behind, so that the process only seems to have returned it."""
    before, large, in_use = resident(), blocks(LARGE, 60), take_small_blocks()
    await until_returned(before + len(large) * LARGE + len(in_use) * SMALL)
    in_use += take_small_blocks()
    del large
    await until_returned(before + len(in_use) * SMALL)


PROGRAMS = {each.__name__: each for each in (small_blocks, small_blocks_while_large_ones_end)}


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries return memory by rules of their own")
@pytest.mark.parametrize("program", PROGRAMS)
def test_free_memory_is_returned(program: str) -> None:
    """In a process of its own, where nothing else takes memory."""
    command = [sys.executable, "-m", __name__, program]
    ran = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
    assert ran.returncode == 0, ran.stderr


async def main(program: str) -> None:
    memory.INTERVAL = 0.05
    memory.give_back_large_blocks()
    giving = asyncio.create_task(memory.give_back_free_memory())
    await asyncio.sleep(memory.INTERVAL)  # it has seen what the process holds at first
    await PROGRAMS[program]()
    giving.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
