"""Configure how the C library manages memory."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # malloc.h
LARGE = 128 * 1024
"""Bytes from which on a block of memory is allocated from the system separately."""


def give_back_large_blocks() -> None:
    """Make the C library return large blocks to the system as soon as they are free.

    glibc does so at first, but raises its threshold with each such block, up to 32 MiB. Then the memory of a large answer may
    stay with the process. With other C libraries this does nothing.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, LARGE)
        mallopt(_M_ARENA_MAX, 2)


def give_back_free_memory() -> None:
    """Return free memory to the system. It takes some milliseconds, in which other threads run.

    Thousands of small blocks, as a large body becomes when it is parsed, otherwise stay with the process.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
