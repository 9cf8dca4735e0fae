"""Check passwords and hash them, with bcrypt of a SHA-256 digest, so that every character counts.

A hash takes a quarter of a second of processor time on purpose. So hashes are computed in two threads, never on the event
loop, and a caller that waits too long for a thread is answered with 503.
"""

from __future__ import annotations

import asyncio
import os
import threading
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache, partial
from typing import TypeVar

from passlib.hash import bcrypt_sha256

from apiv3.model.accounts import LONGEST_PASSWORD, SHORTEST_PASSWORD, Email
from apiv3.model.errors import BadRequest
from apiv3.turns import Turns

T = TypeVar("T")

AT_ONCE = 2
"""Number of hashes that are computed at a time."""
_PRIORITY = 10
"""The `nice` value of the threads that hash, so that requests go first."""
_LONGEST_READ = 4 * LONGEST_PASSWORD
"""Most characters that are normalised. A longer text cannot become short enough for a password."""
_NOBODY = "$bcrypt-sha256$v=2,t=2b,r={}$vbcnUG7oY5vKftDdNsyyL.$fOsmOa6TwU2izyBaxFOwResnzTNMWTa"
"""A hash to compare with if a person has none, so that the comparison takes the same time."""
_MOST_ADDED = 4
"""Most digits or signs around a common password for which it still counts as common."""


class Passwords:
    """Computes and compares hashes. `rounds`: the cost of new hashes, as a power of two."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.computed = 0
        """Number of hashes computed since the start."""
        self._turns = Turns(AT_ONCE, 1)
        self._threads = ThreadPoolExecutor(AT_ONCE, "passwords", _give_way)

    async def hash(self, password: str) -> str:
        """Hash a password that has passed `check`. Raises ServerBusy."""
        hashed: str = await self._in_thread(partial(bcrypt_sha256.using(rounds=self.rounds).hash, normalised(password)))
        return hashed

    async def verify(self, password: str, hashed: str | None, caller: str = "") -> bool:
        """Return whether the password matches the hash. One hash is computed in any case, even if there is none to match.

        `caller`: who asks; callers take turns, and each has one hash computed at a time. Raises ServerBusy.
        """
        text = normalised(password)
        work = partial(bcrypt_sha256.verify, text or "", hashed or _NOBODY.format(self.rounds))
        fits: bool = await self._in_thread(work, caller)
        return fits and bool(text) and hashed is not None

    def is_outdated(self, hashed: str) -> bool:
        """Return whether the hash has a lower cost than new ones."""
        return bool(bcrypt_sha256.from_string(hashed).rounds < self.rounds)

    async def _in_thread(self, work: Callable[[], T], caller: str = "") -> T:
        async with self._turns.take(caller):
            self.computed += 1
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def normalised(password: str) -> str:
    """Normalise a password, so that the keyboard it was typed on makes no difference. Empty if it cannot be a valid one."""
    if len(password) > _LONGEST_READ:
        return ""
    text = unicodedata.normalize("NFKC", password)
    try:
        text.encode()
    except UnicodeEncodeError:
        return ""
    return text if len(text) <= LONGEST_PASSWORD else ""


def check(password: str, name: str, email: Email) -> None:
    """Raise BadRequest, with the reason, for a password that this person may not have."""
    text = normalised(password)
    if not len(text) >= SHORTEST_PASSWORD:
        raise BadRequest(f"Bad password: it must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
    lowered = text.casefold()
    if any(own in lowered for own in _own(name, email)):
        raise BadRequest("Bad password: it must not hold the person's own name or e-mail address")
    if _is_common(lowered):
        raise BadRequest("Bad password: it is one that is commonly known")


def _own(name: str, email: Email) -> set[str]:
    """Return what others know of the person: the name and its longer words, the address and its part before the @."""
    whole = {unicodedata.normalize("NFKC", text).casefold() for text in (name, *email)}
    words = {word for text in whole for word in [*text.split(), text.partition("@")[0]] if len(word) >= 4}
    return words | {text for text in whole if len(text) >= 3}


def _is_common(lowered: str) -> bool:
    """Return whether it is a common password, also one written twice or with a few digits or signs around it."""
    half = lowered[: len(lowered) // 2]
    return (half * 2 == lowered and half in _common()) or not _common().isdisjoint(_cores(lowered))


def _cores(text: str) -> Iterator[str]:
    """Yield the text, and the text without up to _MOST_ADDED characters at its ends that are not letters."""
    for before in range(_MOST_ADDED + 1):
        for after in range(_MOST_ADDED + 1 - before):
            end = len(text) - after
            if not any(map(str.isalpha, text[:before] + text[end:])):
                yield text[before:end]


@lru_cache(maxsize=1)
def _common() -> frozenset[str]:
    """Load the list of common passwords. That takes a moment, and only a new password needs it."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    return frozenset(FREQUENCY_LISTS["passwords"])


def _give_way() -> None:
    """Lower the priority of this thread, if the system supports that, so that requests go first."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _PRIORITY)
