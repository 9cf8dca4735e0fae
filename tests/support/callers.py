"""Subjects that call the administration endpoints."""

from itertools import count
from typing import Any

import httpx

from tests.support.server import LiveServer

_numbers = count()


class Caller:
    """Calls the endpoints of one kind, such as `users`, as a subject with some permissions."""

    def __init__(self, server: LiveServer, kind: str, *permissions: str) -> None:
        self.server = server
        self._url = f"{server.url}/api/v2/authorization/{kind}"
        self.name = f"caller {next(_numbers)} of {kind} {server.port}"
        self._token = server.subject(self.name, *permissions)

    def ask(self, method: str, path: str = "", json: Any = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token}"}
        return httpx.request(method, self._url + path, json=json, headers=headers, trust_env=False)

    def made(self, method: str, path: str = "", json: Any = None) -> Any:
        answer = self.ask(method, path, json)
        assert answer.status_code == 200, answer.text
        return answer.json()


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """The status and the message of a refusal."""
    return answer.status_code, answer.json()["message"]
