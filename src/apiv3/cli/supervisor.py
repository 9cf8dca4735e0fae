"""Start and supervise several worker processes that share a port: replace those that end, and stop all of them on shutdown."""

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
"""Seconds of running after which a worker that ends is replaced at once."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.25, 5.0
"""Seconds before a worker that ended sooner is replaced; they double each time, so that the log does not fill up."""
LAST_PATIENCE = 20.0
"""Seconds in which workers must end on shutdown before they are killed."""

_log = logging.getLogger("apiv3")
_spawning = multiprocessing.get_context("spawn")


class Supervisor:
    """Keeps `number` workers running until SIGTERM or SIGINT. Each runs `work` with the listener.

    A worker that ends for any reason is replaced, and the others are not affected. (uvicorn's own supervisor ends all of them,
    without an error, when one cannot start.)
    """

    def __init__(self, work: Work, listener: socket.socket, number: int) -> None:
        self._listener = listener
        self._places = [_Place(work, listener) for _ in range(number)]

    def run(self) -> None:
        """Run until a signal arrives and all workers have ended."""
        told, tell = socket.socketpair()
        with told, tell:
            for each in (signal.SIGTERM, signal.SIGINT):
                signal.signal(each, lambda _signal, _frame: tell.send(b"."))
            while told not in self._wait(told):
                for place in self._places:
                    place.look()
        self._end()

    def _wait(self, told: socket.socket) -> list[object]:
        """Wait until a signal arrives, a worker ends, or a worker is due to start."""
        sentinels = [place.worker.sentinel for place in self._places if place.worker is not None]
        due = [place.due for place in self._places if place.worker is None]
        return list(wait([told, *sentinels], max(0.0, min(due) - time.monotonic()) if due else None))

    def _end(self) -> None:
        """End all workers. The listener is closed first, since clients could otherwise connect and get no answer."""
        self._listener.close()
        workers = [place.worker for place in self._places if place.worker is not None]
        for worker in workers:
            worker.terminate()
        deadline = time.monotonic() + LAST_PATIENCE
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))
            if worker.exitcode is None:
                _log.warning("worker %d did not end in time and is killed", worker.pid)
                worker.kill()
                worker.join()


class _Place:
    """A worker and its replacements. `due`: when to start the next one, in seconds of the monotonic clock."""

    def __init__(self, work: Work, listener: socket.socket) -> None:
        self._arguments = (work, listener)
        self.worker: BaseProcess | None = None
        self.due = self._started = 0.0
        self._pause = 0.0

    def look(self) -> None:
        """Notice when the worker has ended, and start the next one when it is due."""
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
    """Run `work` in the worker. It ignores Ctrl-C, which reaches all processes of a terminal; its parent tells it to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    work(listener)


def end_with_parent() -> None:
    """End this process with SIGTERM when its parent has ended for any reason, since it would keep the port open.

    If the parent has ended already, this process ends at once.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_outlive, args=(parent,), daemon=True, name="parent").start()


def _outlive(parent: BaseProcess) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
