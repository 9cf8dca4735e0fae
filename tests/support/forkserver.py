"""A program that has imported what `apiv3 serve` imports, and forks a child for each start, which has not to do it again.

`python -m tests.support.forkserver FD` takes requests from the socket FD, one after the other, until its other end is closed.
Each is a message in JSON, and so is its answer:

- `{"arguments": [...], "folder": "...", "environment": {...}}`, with the descriptor that becomes the child's standard output
  and standard error: starts `python -m apiv3 ARGUMENTS`. The answer is the child's process id, as soon as the child leads a
  session of its own.
- `{"ended": PID}`: reaps a child. The answer is its exit status, as in `subprocess.Popen.returncode`. Until it is asked for,
  the child stays as a zombie, so nobody else gets its process id.

A child begins with what a real start would have: this module has no threads and no event loop, opens no files, and reads
nothing of the environment.
"""

import json
import os
import runpy
import socket
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

PRELOADED = ("apiv3.cli.commands", "apiv3.cli.serve", "apiv3.app")
"""Not the drivers of databases, of which a server loads the one that it uses; nor `apiv3.__main__`, which is what is run."""
LARGEST = 1_000_000
"""Bytes of a message."""


def become_child(requests: socket.socket) -> bool:
    """Serve the requests. Returns True in each child, ready to run the command, and False at the end."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, LARGEST, 1)
        if not message:
            return False
        request = json.loads(message)
        answer = _reaped(request["ended"]) if "ended" in request else _forked(request, *descriptors)
        if answer is None:
            requests.close()
            return True
        requests.send(json.dumps(answer).encode())


def _reaped(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _forked(request: dict[str, Any], output: int) -> int | None:
    """Return the process id of the child, or None in the child."""
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        raise RuntimeError("a process with several threads cannot be forked safely")
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        _take_over(request, output)
    os.close(output)
    os.close(tell)  # the child has closed its own one when it leads its session
    if pid > 0:
        os.read(told, 1)
    os.close(told)
    return pid or None


def _take_over(request: dict[str, Any], output: int) -> None:
    """Make of this process what the request wants."""
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    sys.argv = ["-m", *request["arguments"]]
    sys.path[0] = request["folder"]


if __name__ == "__main__":
    for _module in PRELOADED:
        import_module(_module)
    if become_child(socket.socket(fileno=int(sys.argv[1]))):
        runpy.run_module("apiv3", run_name="__main__", alter_sys=True)
