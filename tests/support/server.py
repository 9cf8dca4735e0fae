"""A real server process, and clients for it."""

import hashlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from email.utils import formatdate
from typing import Any

import httpx

from tests.support.installation import Installation
from tests.support.processes import Guardian, free_port

START_TIMEOUT = 60.0
STOP_TIMEOUT = 15.0
POLICY_TIMEOUT = 5.0
# Each process follows a change of subjects and roles within a second.
POLICY_DELAY = 1.0


class LiveServer:
    """`apiv3 serve` on an installation. It can be stopped or killed, and started again on the same data and port."""

    def __init__(self, installation: Installation, *, workers: int = 1, arguments: Sequence[str] = ()) -> None:
        self.installation = installation
        self.workers = workers
        self.arguments = tuple(arguments)
        self.port = free_port()
        scheme = "https" if "--tls-cert" in self.arguments else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._log = installation.folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
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

    def start(self) -> None:
        host = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", str(self.workers)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.installation.command("serve", *host, *self.arguments),
                cwd=self.installation.folder,
                env=self.installation.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that its workers can be ended with it, and Ctrl-C is ours alone
            )
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
        self._forget()

    def interrupt(self) -> int:
        """Ctrl-C, which the workers get too; the exit status."""
        os.killpg(self.pid, signal.SIGINT)
        return self._ended()

    def kill_parent(self) -> None:
        """Ends the first process alone (SIGKILL), as a system short of memory may; the workers have to end by themselves."""
        group = self.pid
        os.kill(group, signal.SIGKILL)
        self._ended()
        deadline = time.monotonic() + STOP_TIMEOUT
        while _is_there(group):
            if time.monotonic() > deadline:
                os.killpg(group, signal.SIGKILL)
                raise AssertionError("workers outlive their parent")
            time.sleep(0.02)

    def _ended(self) -> int:
        """The exit status, once there is one."""
        assert self._process is not None
        try:
            return self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the server did not end:\n{self.output}") from None
        finally:
            self._forget()

    def restart(self) -> None:
        self.stop()
        self.start()

    def _forget(self) -> None:
        if self._process:
            self._process.wait()
            self._process, self._ends = None, False
        if self._guardian:
            self._guardian.dismiss()
            self._guardian = None

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                if not ended:
                    self.kill()
                self._forget()
                raise AssertionError(f"the server does not start:\n{self.output}")
            time.sleep(0.02)

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
        if self.workers > 1:  # one that answers says nothing about the others
            time.sleep(POLICY_DELAY)
        deadline = time.monotonic() + POLICY_TIMEOUT
        while (answer := self._exchange(token)).status_code != 200:
            assert time.monotonic() < deadline, f"a new subject is not accepted: {answer.text}"
            time.sleep(0.02)

    def _exchange(self, token: str) -> httpx.Response:
        url = f"{self.url}/api/v2/authorization/request/{token}"
        return httpx.get(url, verify=False, trust_env=False)


def _is_there(group: int) -> bool:
    """Whether any process of the group still runs."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _date(request: httpx.Request) -> None:
    request.headers.setdefault("Date", formatdate(usegmt=True))
