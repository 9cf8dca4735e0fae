"""Share work and memory fairly: callers that want much of them wait in turn, so that others need not."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

from apiv3.model.errors import ServerBusy, TooMuchWork

T = TypeVar("T")
PATIENCE = 20.0
"""Seconds that a caller waits for its turn until ServerBusy is raised."""
SLICE = 0.004
"""Seconds after which long work is interrupted, so that other work has its turn."""
MOST_WORK = 30.0
"""Most seconds of processor time for one request."""
_LARGEST_BODY = 16 * 1024 * 1024
LARGEST_ANSWER = 32 * 1024 * 1024
"""Most bytes of an answer."""


class Turns:
    """A number of places (workers, or bytes of memory), which callers take in turn.

    Each caller has its own queue, and the queues are served in rotation, so that a caller with a hundred requests delays only
    itself. `share`: the most places that one caller may hold at a time.
    """

    def __init__(self, places: int, share: int) -> None:
        self._free, self._share = places, share
        self._held: dict[str, int] = {}
        self._waiting: dict[str, deque[Hold]] = {}

    def take(self, caller: str, places: int = 1) -> Hold:
        """Take places for the length of a block: `async with turns.take(caller)`. A caller gets at most its share.

        Entering raises ServerBusy when the turn does not come within PATIENCE seconds.
        """
        return Hold(self, caller, min(places, self._share))

    async def enter(self, hold: Hold) -> None:
        """Wait for the turn of `hold`. Raises ServerBusy."""
        self._waiting.setdefault(hold.caller, deque()).append(hold)
        self._serve()
        if hold.turn.done():
            return
        try:
            async with asyncio.timeout(PATIENCE):
                await hold.turn
        except BaseException as error:
            self._leave_queue(hold)
            if isinstance(error, TimeoutError):
                raise ServerBusy from error
            raise

    def _leave_queue(self, hold: Hold) -> None:
        queue = self._waiting.get(hold.caller, deque())
        if hold in queue:
            queue.remove(hold)
            if not queue:
                del self._waiting[hold.caller]
            hold.places = 0
        else:
            hold.release()
        self._serve()

    def give_back(self, caller: str, places: int) -> None:
        """Take back places of a caller, and serve those who wait."""
        self._free += places
        self._held[caller] -= places
        if not self._held[caller]:
            del self._held[caller]
        self._serve()

    def _serve(self) -> None:
        while self._serve_next():
            pass

    def _serve_next(self) -> bool:
        """Serve the first caller in turn that does not exceed its share; return whether there was one."""
        for caller, queue in self._waiting.items():
            places = queue[0].places
            if self._held.get(caller, 0) + places > self._share:
                continue
            if places > self._free:
                return False
            hold = queue.popleft()
            del self._waiting[caller]
            if queue:
                self._waiting[caller] = queue  # to the end of the rotation
            self._free -= places
            self._held[caller] = self._held.get(caller, 0) + places
            if not hold.turn.done():
                hold.turn.set_result(None)
            return True
        return False


class Hold:
    """Places that a caller holds or waits for."""

    def __init__(self, turns: Turns, caller: str, places: int) -> None:
        self._turns, self.caller, self.places = turns, caller, places
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Hold:
        if not self.turn.done():
            await self._turns.enter(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __del__(self) -> None:
        """Release the places when the object is garbage collected."""
        self.release()

    def shrink(self, places: int) -> None:
        """Keep only so many places, and give back the rest."""
        surplus = self.places - places
        if surplus > 0:
            self.places = places
            self._turns.give_back(self.caller, surplus)

    def keep(self) -> Hold:
        """Move the places to a new hold, which is not released at the end of the block; the new owner must release it."""
        kept = Hold(self._turns, self.caller, self.places)
        kept.turn.set_result(None)
        self.places = 0
        return kept

    def release(self) -> None:
        """Give back all places; further calls do nothing."""
        self.shrink(0)


ANSWERS = Turns(2 * LARGEST_ANSWER, LARGEST_ANSWER * 5 // 4)
"""The memory, in bytes, for large answers that this process is making or sending."""
BODIES = Turns(_LARGEST_BODY, _LARGEST_BODY)
"""Bytes of the large bodies that this process has parsed and not stored yet; parsed, they take several times as much memory."""
_WORKER = Turns(1, 1)
_THREADS = ThreadPoolExecutor(1, thread_name_prefix="slices")


class Effort:
    """The processor time that one request has used so far."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def add(self, seconds: float) -> None:
        """Add seconds. Raises TooMuchWork when the sum exceeds MOST_WORK."""
        self._seconds += seconds
        if self._seconds > MOST_WORK:
            raise TooMuchWork


async def paced(caller: str, work: Iterator[T], effort: Effort) -> AsyncGenerator[list[T], None]:
    """Yield the items of an iterator in batches. It runs in a thread, in short slices, in turn with the work of others.

    A thread without slices would block the event loop again and again, for as long as it holds Python's global lock.
    Raises TooMuchWork, ServerBusy, and what the iterator raises.
    """
    loop, more = asyncio.get_running_loop(), True
    while more:
        async with _WORKER.take(caller):
            some, more, seconds = await loop.run_in_executor(_THREADS, _slice, work)
        effort.add(seconds)
        if some:
            yield some


async def apart(caller: str, work: Callable[[], T]) -> T:
    """Run a function of a few milliseconds in a thread, in turn with the work of others. Raises ServerBusy."""
    async with _WORKER.take(caller):
        return await asyncio.get_running_loop().run_in_executor(_THREADS, work)


def _slice(work: Iterator[T]) -> tuple[list[T], bool, float]:
    """Run a slice of the work; return its items, whether there may be more, and the processor time in seconds."""
    some: list[T] = []
    started, until = time.thread_time(), time.perf_counter() + SLICE
    for each in work:
        some.append(each)
        if time.perf_counter() > until:
            return some, True, time.thread_time() - started
    return some, False, time.thread_time() - started
