"""How the C library keeps memory."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # malloc.h
LARGE = 128 * 1024
"""Bytes of a block that is taken from the system by itself."""


def give_back_large_blocks() -> None:
    """Let large blocks go back to the system as soon as they are free.

    glibc begins so, but raises the threshold with each such block, up to 32 MiB: from then on, what a large answer took may
    stay with the process. Other C libraries have nothing to set.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, LARGE)
        mallopt(_M_ARENA_MAX, 2)
