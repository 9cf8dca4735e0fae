"""A real server process, and clients for it."""

import hashlib
import os
import secrets
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx

from tests.support.installation import Installation
from tests.support.processes import Guardian, free_port, is_there
from tests.support.starts import Forked, start
from tests.support.waiting import PATIENCE, wait_until


class LiveServer:
    """`apiv3 serve` on an installation. It can be stopped or killed, and started again on the same data and port.

    `real`: its starts are not by the fork server. Those with several workers never are, since each worker starts by itself.
    """

    def __init__(
        self, installation: Installation, *, workers: int = 1, arguments: Sequence[str] = (), real: bool = False
    ) -> None:
        self.installation = installation
        self._real = real or workers > 1
        self.workers = workers
        self.arguments = tuple(arguments)
        self.port = free_port()
        scheme = "https" if "--tls-cert" in self.arguments else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._log = installation.folder / "server.log"
        self._process: subprocess.Popen[bytes] | Forked | None = None
        self._guardian: Guardian | None = None
        self._ends = False
        self._clients = ExitStack()

    # --- the process

    @property
    def secret(self) -> str:
        return self.installation.secret

    @property
    def output(self) -> str:
        """All that the server has said, over all its starts."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    @property
    def worker_pids(self) -> list[int]:
        """The processes that answer, where there are several: what was started by spawning, unlike multiprocessing's helper."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]

    def start(self) -> None:
        if self._process is not None:
            raise RuntimeError("the server is running already")
        host = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", str(self.workers)]
        with self._log.open("ab") as log:
            command = self.installation.command("serve", *host, *self.arguments)
            environment = self.installation.environment()
            self._process = start(command, self.installation.folder, environment, log, real=self._real)
        self._guardian = Guardian(self._process.pid, self.installation.folder)
        self._wait_until_ready()

    def end(self) -> None:
        """Asks the server to end (SIGTERM), once."""
        self._clients.close()
        if self._process is not None and not self._ends:
            self._ends = True
            self._process.terminate()

    def stop(self) -> None:
        """Asks the server to end, and waits for it; one that does not is killed, and fails the test."""
        self.end()
        if self._process is not None:
            self._ended()

    def kill(self) -> None:
        """Ends the server and its workers at once (SIGKILL), as a crash of the machine would."""
        os.killpg(self.pid, signal.SIGKILL)
        self._ended()

    def interrupt(self) -> int:
        """Ctrl-C, which the workers get too; the exit status."""
        os.killpg(self.pid, signal.SIGINT)
        return self._ended()

    def kill_parent(self) -> None:
        """Ends the first process alone (SIGKILL), as a system short of memory may; the workers have to end by themselves."""
        os.kill(self.pid, signal.SIGKILL)
        self._ended()

    def _ended(self) -> int:
        """The exit status, once the process and its workers have ended."""
        assert self._process is not None
        try:
            status = self._process.wait(PATIENCE)
            wait_until(lambda: not is_there(self.pid), "workers outlive their parent")
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the server did not end:\n{self.output}") from None
        finally:
            self._forget()
        return status

    def restart(self) -> None:
        self.stop()
        self.start()

    def _forget(self) -> None:
        """End what is left, and be ready for another start."""
        process, guardian = self._process, self._guardian
        self._process, self._guardian, self._ends = None, None, False
        if guardian:
            guardian.dismiss()
        if process:
            process.wait()

    def _wait_until_ready(self) -> None:
        try:
            wait_until(lambda: self._has_ended or self._answers())
        except AssertionError:
            self._forget()
        if self._has_ended:
            self._forget()
            raise AssertionError(f"the server does not start:\n{self.output}")

    @property
    def _has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _answers(self) -> bool:
        try:
            httpx.get(f"{self.url}/api/v3/version", verify=False, trust_env=False)
        except httpx.TransportError:
            return False
        return True

    # --- callers

    def client(self, token: str | None = None, **options: Any) -> httpx.Client:
        """A client that dates each request and, for an access token, sends its JWT; closed when the server stops."""
        client = httpx.Client(base_url=self.url, verify=False, trust_env=False, **options)
        client.event_hooks["request"].append(_date)
        if token is not None:
            client.headers["Authorization"] = f"Bearer {self.jwt(token)}"
        return self._clients.enter_context(client)

    def jwt(self, token: str) -> str:
        answer = self._exchange(token)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])

    def admin(self, method: str, path: str, json: Any = None) -> Any:
        """Calls `/api/v2/authorization{path}` as the holder of API_SECRET; returns the answer's JSON."""
        digest = hashlib.sha1(self.secret.encode()).hexdigest()
        url = f"{self.url}/api/v2/authorization{path}"
        answer = httpx.request(method, url, json=json, headers={"api-secret": digest}, verify=False, trust_env=False)
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def subject(self, name: str, *permissions: str) -> str:
        """Creates a subject with a role of these permissions; returns its access token, once that is accepted."""
        role = f"{name}-{secrets.token_hex(4)}"
        self.admin("POST", "/roles", {"name": role, "permissions": permissions, "notes": ""})
        made = self.admin("POST", "/subjects", {"name": name, "roles": [role], "notes": ""})
        [token] = [each["accessToken"] for each in self.admin("GET", "/subjects") if each["_id"] == made["_id"]]
        self._wait_until_known(token)
        return str(token)

    def _wait_until_known(self, token: str) -> None:
        self.wait_everywhere(lambda: self.knows(token), "a new subject is not accepted")

    def wait_everywhere(self, condition: Callable[[], object], otherwise: str = "it never happens everywhere") -> None:
        """Wait until the condition holds at each worker. It has to ask on connections of its own, since each worker is asked
        while the other ones are stopped: which of them accepts a connection is a matter of chance otherwise. It should only
        read: one that is stopped may hold a lock that a write waits for.
        """
        for worker in self.worker_pids if self.workers > 1 else [self.pid]:
            wait_until(lambda: self._holds(condition, worker), lambda: f"{otherwise}\n{self.output[-2000:]}")  # noqa: B023

    def _holds(self, condition: Callable[[], object], worker: int) -> object:
        """Whether the condition holds at one worker."""
        with self._alone(worker):
            return condition()

    @contextmanager
    def _alone(self, worker: int) -> Iterator[None]:
        """Stop the other processes: the workers, and their parent, which would replace a worker that does not answer."""
        others = [pid for pid in (self.pid, *self.worker_pids) if pid != worker]
        try:
            _signal(others, signal.SIGSTOP)
            wait_until(lambda: all(map(_is_stopped, others)))
            yield
        finally:
            _signal(others, signal.SIGCONT)

    def knows(self, token: str) -> bool:
        """Whether an access token is good, asked by a read."""
        date, url = {"Date": formatdate(usegmt=True)}, f"{self.url}/api/v3/status"
        return httpx.get(url, params={"token": token}, headers=date, verify=False, trust_env=False).status_code == 200

    def _exchange(self, token: str) -> httpx.Response:
        url = f"{self.url}/api/v2/authorization/request/{token}"
        return httpx.get(url, verify=False, trust_env=False)


def _signal(processes: Sequence[int], number: signal.Signals) -> None:
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _is_stopped(process: int) -> bool:
    """Whether a process is stopped, or gone."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return True
    return state in "TZ"


def _date(request: httpx.Request) -> None:
    request.headers.setdefault("Date", formatdate(usegmt=True))
