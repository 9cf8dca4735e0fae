"""Make the C library (glibc) return free memory to the system. With other C libraries nothing here has an effect."""

from __future__ import annotations

import asyncio
import ctypes
from contextlib import suppress
from mmap import PAGESIZE
from pathlib import Path

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # malloc.h
LARGE = 128 * 1024
"""Bytes from which on a block of memory is allocated from the system separately."""
MUCH = 4 * 1024 * 1024
"""Bytes of free memory that are worth returning."""
INTERVAL = 1.0
"""Seconds between two looks at how much memory is free."""
_STATM = Path("/proc/self/statm")
"""See proc_pid_statm(5); the second number is the pages that the process holds in memory."""
_FIELDS = ["arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"]


class _Mallinfo2(ctypes.Structure):
    """What mallinfo2(3) returns. `fordblks`: bytes in free blocks, whether their pages were returned or not; `hblkhd`: bytes in
    large blocks, each from the system."""

    _fields_ = [(name, ctypes.c_size_t) for name in _FIELDS]


def give_back_large_blocks() -> None:
    """Make the C library return large blocks to the system as soon as they are free.

    glibc does so at first, but raises its threshold with each such block, up to 32 MiB. Then the memory of a large answer may
    stay with the process.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, LARGE)
        mallopt(_M_ARENA_MAX, 2)


async def give_back_free_memory() -> None:
    """Return the memory of small blocks, too, whenever the process may hold much of it, until cancelled.

    Thousands of them, as a large body becomes when it arrives and is parsed, otherwise stay with the process. Returning them
    takes some milliseconds, in which other threads run.
    """
    try:
        library = ctypes.CDLL(None)
        trim, library.mallinfo2.restype = library.malloc_trim, _Mallinfo2
        least = _measured(library)
    except (OSError, AttributeError):
        return
    while True:
        await asyncio.sleep(INTERVAL)
        now = _measured(library)
        if any(each > low + MUCH for each, low in zip(now, least, strict=True)):
            await asyncio.to_thread(trim, 0)
            least = _measured(library)
        else:
            least = tuple(map(min, now, least))


def _measured(library: ctypes.CDLL) -> tuple[int, ...]:
    """Return the bytes in free blocks, and the bytes of the process without large blocks, which go back by themselves. One of
    them has grown when there is something to return.

    Free blocks count even if their pages were returned. Blocks that were taken from these and freed again between two looks
    only show in the other number; there they would not show if large blocks that were freed at the same time made up for them.
    """
    blocks = library.mallinfo2()
    resident = int(_STATM.read_text().split()[1]) * PAGESIZE
    return blocks.fordblks, resident - blocks.hblkhd
