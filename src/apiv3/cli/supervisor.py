"""Several worker processes that share a port, and the process that starts them, replaces them and ends with them."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

Work = Callable[[socket.socket], None]

SETTLED = 10.0
"""Seconds after which a worker that ends is replaced at once."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.25, 5.0
"""Seconds before one that ended sooner is replaced; twice as long each time, so that the log does not fill."""
LAST_PATIENCE = 20.0
"""Seconds in which workers have to end when they are told to; then they are killed."""

_log = logging.getLogger("apiv3")
_spawning = multiprocessing.get_context("spawn")


class Supervisor:
    """Keeps `number` workers running until SIGTERM or SIGINT. `work` is run in each of them, with the listener.

    Nothing that happens to a worker ends the others: whatever it died of, another one takes its place. uvicorn's own
    supervisor ends all of them, without an error, when one cannot start.
    """

    def __init__(self, work: Work, listener: socket.socket, number: int) -> None:
        self._listener = listener
        self._places = [_Place(work, listener) for _ in range(number)]

    def run(self) -> None:
        """Returns when it was told to end, and all workers have."""
        told, tell = socket.socketpair()
        with told, tell:
            for each in (signal.SIGTERM, signal.SIGINT):
                signal.signal(each, lambda _signal, _frame: tell.send(b"."))
            while told not in self._wait(told):
                for place in self._places:
                    place.look()
        self._end()

    def _wait(self, told: socket.socket) -> list[object]:
        """Until it is told to end, a worker ends, or one is to be started."""
        sentinels = [place.worker.sentinel for place in self._places if place.worker is not None]
        due = [place.due for place in self._places if place.worker is None]
        return list(wait([told, *sentinels], max(0.0, min(due) - time.monotonic()) if due else None))

    def _end(self) -> None:
        """The listener is closed first: as long as anybody has it, clients connect whom nobody will answer."""
        self._listener.close()
        workers = [place.worker for place in self._places if place.worker is not None]
        for worker in workers:
            worker.terminate()
        deadline = time.monotonic() + LAST_PATIENCE
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))
            if worker.exitcode is None:
                _log.warning("worker %d did not end in time, and is killed", worker.pid)
                worker.kill()
                worker.join()


class _Place:
    """One of the workers, and those that come after it. `due`: when the next one starts, by the monotonic clock."""

    def __init__(self, work: Work, listener: socket.socket) -> None:
        self._arguments = (work, listener)
        self.worker: BaseProcess | None = None
        self.due = self._started = 0.0
        self._pause = 0.0

    def look(self) -> None:
        """Take notice of the worker's end, and start the next one when it is time."""
        now = time.monotonic()
        if self.worker is not None and not self.worker.is_alive():
            _log.warning("worker %d %s; another one takes its place", self.worker.pid, _end_of(self.worker))
            soon = now - self._started < SETTLED
            self._pause = min(max(2 * self._pause, SHORTEST_PAUSE), LONGEST_PAUSE) if soon else 0.0
            self.worker, self.due = None, now + self._pause
        if self.worker is None and now >= self.due:
            self._started = now
            self.worker = _spawning.Process(target=_run, args=self._arguments)
            self.worker.start()


def _end_of(worker: BaseProcess) -> str:
    status = worker.exitcode or 0
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"


def _run(work: Work, listener: socket.socket) -> None:
    """In the worker. Ctrl-C reaches every process of a terminal; a worker waits for its parent to tell it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    work(listener)


def end_with_parent() -> None:
    """End this process, as on SIGTERM, when the one that started it is gone, however that ended: it may hold the port.

    Where that has happened already, it ends at once.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_outlive, args=(parent,), daemon=True, name="parent").start()


def _outlive(parent: BaseProcess) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
