"""Run blocking work to its end in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, TypeVar, cast

T = TypeVar("T")


class ThreadWork(Generic[T]):
    """Work for a thread. It cannot be cancelled: a caller that is cancelled still waits for its end.

    This does the same as `run_in_executor` with `shield`, but takes half the time, which matters for each commit.
    `result` and `error`: how the work ended, None before its end.
    """

    __slots__ = ("_finished", "_loop", "_waiter", "_work", "error", "result")

    def __init__(self, work: Callable[[], T]) -> None:
        self._work, self._loop = work, asyncio.get_running_loop()
        self._finished, self._waiter = False, self._loop.create_future()
        self.result: T | None = None
        self.error: BaseException | None = None

    async def run(self, threads: ThreadPoolExecutor) -> T:
        """Run the work and return its result, or raise its error. Raises CancelledError, but not before its end."""
        threads.submit(self._run)
        cancelled: asyncio.CancelledError | None = None
        while not self._finished:
            try:
                await self._waiter
            except asyncio.CancelledError as error:
                cancelled, self._waiter = error, self._loop.create_future()
        if cancelled is not None:
            raise cancelled
        if self.error is not None:
            raise self.error
        return cast("T", self.result)

    def _run(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:
            self.error = error
        with suppress(RuntimeError):  # the event loop is closed, and nobody waits
            self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        self._finished = True
        if not self._waiter.done():
            self._waiter.set_result(None)
