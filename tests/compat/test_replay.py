"""Recorded requests get the answers that servers of the field give.

The recordings lie beside the checkout; a story of our own, in the same form, is always here.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.factories import FreshServer

ROOT = Path(__file__).parents[2]
CONFORMANCE = ROOT.parent / "shared/conformance"
RECORDINGS = ("cases-1.jsonl", "cases-2.jsonl", "cases-3.jsonl")
QUICK = {"AUTH_FAIL_DELAY": "50"}


@pytest.mark.parametrize("recording", RECORDINGS)
def test_a_recording(fresh_server: FreshServer, database: str, recording: str) -> None:
    if not (CONFORMANCE / recording).exists():
        pytest.skip(f"there is no {recording} beside the checkout")
    server = fresh_server(database, env=QUICK)
    program, cases = str(CONFORMANCE / "replay.py"), str(CONFORMANCE / recording)
    command = [sys.executable, program, server.url, server.secret, cases, "--show", "50"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.endswith(", 0 failed\n")


# --- our own story: one line is a request, `expect` its answer; `save` keeps fields of an answer for `{name}` in later lines

STORY = Path(__file__).parent / "cases-own.jsonl"
CALLERS = {"crud": ["api:*:create,read,update,delete"], "read": ["api:*:read"], "owner": ["api:*:*"]}


def test_our_own_story(fresh_server: FreshServer, database: str) -> None:
    server = fresh_server(database, env=QUICK)
    clients = {name: server.client(server.subject(name, *permissions)) for name, permissions in CALLERS.items()}
    clients["nobody"] = server.client()
    known: dict[str, str] = {}
    for number, line in enumerate(STORY.read_text(encoding="utf-8").splitlines(), 1):
        step = json.loads(line)
        observed = _observe(clients[step["as"]], known, step)
        assert observed == step["expect"], f"line {number}: {step['method']} {step['path']}"


def _observe(client: httpx.Client, known: dict[str, str], step: dict[str, Any]) -> dict[str, Any]:
    """The answer to a step, as far as it does not depend on the time."""
    answer = client.request(step["method"], step["path"].format(**known), json=step.get("body"))
    observed: dict[str, Any] = {"status": answer.status_code}
    if answer.headers.get("Content-Type", "").startswith("application/json"):
        body = answer.json()
        known |= {variable: str(body[field]) for field, variable in step.get("save", {}).items()}
        observed["body"] = _timeless(body)
    elif answer.content:
        observed["text"] = answer.text
    if "Location" in answer.headers:
        observed["location"] = answer.headers["Location"]
    return observed


def _timeless(value: Any, name: str = "") -> Any:
    """Replaces what is another at each run by its kind."""
    if name in ("srvCreated", "srvModified", "srvDate", "lastModified"):
        return "<ms>" if isinstance(value, int) and value > 10**12 else value
    if name in ("version", "apiVersion", "storage"):
        return "<any>"
    if isinstance(value, dict):
        return {inner: _timeless(each, inner if name != "collections" else "lastModified") for inner, each in value.items()}
    return [_timeless(each) for each in value] if isinstance(value, list) else value
