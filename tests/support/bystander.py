"""A program that asks a server for something simple now and then, until its input ends: `python -m tests.support.bystander
PORT PID SOURCE REQUEST`. At the end it prints a line for each answer.

It is a process of its own, so that it does not wait for the attackers in the tests' process. PID: the server's. SOURCE: the
address from which it calls, on a connection of its own each time.
"""

import os
import select
import socket
import sys
import time
from pathlib import Path

PAUSE, PATIENCE = 0.02, 60.0
"""Seconds between two requests, and until an answer will not come any more."""


def processor_time(pid: int, *, all_threads: bool = False) -> float:
    """Seconds that a process has spent on a processor so far: its first thread, that of the event loop, or all of them."""
    file = Path(f"/proc/{pid}/stat" if all_threads else f"/proc/{pid}/task/{pid}/stat")
    fields = file.read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_answered(port: int, source: str, request: bytes) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE, source_address=(source, 0)) as line:
            line.sendall(request)
            answer = b""
            while piece := line.recv(65_536):
                answer += piece
    except OSError:
        return False
    return answer.startswith(b"HTTP/1.1 200 ")


def main(port: int, pid: int, source: str, request: bytes) -> None:
    """Print an empty line after the first request, and at the end, for each one: whether it was answered, seconds until then,
    and how many of them the event loop worked.
    """
    lines = list[str]()
    while not select.select([sys.stdin], [], [], PAUSE)[0]:
        started, before = time.monotonic(), processor_time(pid)
        answered = is_answered(port, source, request)
        worked, waited = processor_time(pid) - before, time.monotonic() - started
        if not lines:
            print(flush=True)  # noqa: T201 (who started this waits for it)
        lines.append(f"{int(answered)} {waited} {worked}\n")
    sys.stdout.writelines(lines)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4].encode("latin-1"))
