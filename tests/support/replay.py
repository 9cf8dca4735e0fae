"""Replays recorded requests against a server, and compares what it answers with what was recorded.

A recording holds one JSON object on each line: who asks (`as`, one of CALLERS), `method`, `path`, `query`, `headers`, `body`,
and what was answered (`expect`). `save` names fields of an answer that later lines use, as `{name}`.
"""

import csv
import http.client
import io
import json
import re
import time
from collections.abc import Iterator, Mapping
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

from tests.support.server import LiveServer
from tests.support.waiting import wait_until

CALLERS: Mapping[str, tuple[str, ...]] = {
    "crud": ("api:*:create,read,update,delete",),
    "read": ("api:*:read",),
    "create": ("api:*:create",),
    "update": ("api:*:update",),
    "delete": ("api:*:delete",),
    "denied": (),
    "admin": ("api:*:*",),
}
SERVER_TIMES = ("srvCreated", "srvModified", "srvDate", "lastModified")
TIME, ANYTHING = "<ms>", "<any>"

Step = dict[str, Any]


def differences(server: LiveServer, recording: Path) -> list[str]:
    """Every step of a recording that is answered otherwise, with both answers. The server has to be empty."""
    return [
        f"{number}: {step['method']} {step['path']} {step.get('query', '')}\n  expected {step['expect']}\n  observed {observed}"
        for number, (step, observed) in enumerate(replay(server, recording), 1)
        if _comparable(step["expect"]) != _comparable(observed)
    ]


def replay(server: LiveServer, recording: Path) -> Iterator[tuple[Step, Step]]:
    """Each step, and what is answered to it, with the times of the server replaced by TIME."""
    tokens = {name: server.jwt(server.subject(f"conf-{name}", *permissions)) for name, permissions in CALLERS.items()}
    tokens["forged"] = "not-a-token"
    known: dict[str, str] = {}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    for line in recording.read_text(encoding="utf-8").splitlines():
        step = json.loads(line)
        _send(connection, step, tokens, known)
        answer = connection.getresponse()
        data = answer.read()
        yield step, _observed(step, answer, data)
        if answer.status < 300:
            known |= {name: str(json.loads(data)[field]) for field, name in step.get("save", {}).items()}
            _pass_by(time.time_ns() // 1_000_000)
    connection.close()


def _pass_by(moment: int) -> None:
    """Wait until a millisecond has ended: each collection has a clock of its own, and recordings ask one of them for what came
    after a write to another one. That would be left out if both came in the same millisecond."""
    wait_until(lambda: time.time_ns() // 1_000_000 > moment)


def _send(connection: http.client.HTTPConnection, step: Step, tokens: Mapping[str, str], known: Mapping[str, str]) -> None:
    path = _filled(step["path"], known)
    if "query" in step:
        path += "?" + urlencode([tuple(pair) for pair in step["query"]], safe="$")
    headers = {name: _filled(value, known) for name, value in step.get("headers", {}).items()}
    headers["Date"] = formatdate(usegmt=True)
    if step.get("as"):
        headers["Authorization"] = f"Bearer {tokens[step['as']]}"
    body = None
    if "body" in step:
        headers["Content-Type"] = "application/json"
        body = json.dumps(step["body"], ensure_ascii=False).encode()
    connection.request(step["method"], path, body, headers)


def _filled(text: str, known: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda name: quote(known.get(name[1], name[0]), safe="{}"), text)


def _observed(step: Step, answer: http.client.HTTPResponse, data: bytes) -> Step:
    observed: Step = {"status": answer.status, "body": _body(answer.headers.get_content_type(), data)}
    if "fields" not in dict(step.get("query", [])):
        observed |= {name: True for name in ("last-modified", "etag") if name in answer.headers}
    if step["method"] == "POST" and "location" in answer.headers:
        observed["location"] = answer.headers["location"]
    return observed


def _body(media_type: str, data: bytes) -> Any:
    text = data.decode()
    if not text:
        return ""
    if media_type == "application/json":
        return _timeless(json.loads(text))
    if media_type == "text/csv":
        return {"csv": [_csv_row(row) for row in csv.DictReader(io.StringIO(text))]}
    if media_type == "application/xml":
        return {"xml": _tree(ElementTree.fromstring(text))}
    return text


def _timeless(value: Any, name: str = "") -> Any:
    """The same with what is another at each run replaced by its kind."""
    if name in SERVER_TIMES:
        return TIME if type(value) is int and value > 10**12 else value
    if name in ("version", "apiVersion", "storage"):
        return ANYTHING
    if name == "apiPermissions":
        return {collection: rights for collection, rights in value.items() if rights}
    if isinstance(value, dict):
        return {key: _timeless(each, "lastModified" if name == "collections" else key) for key, each in value.items()}
    return [_timeless(each) for each in value] if isinstance(value, list) else value


def _csv_row(row: Mapping[str, str]) -> dict[str, str]:
    booleans = {"true": "1", "false": ""}  # as the recorded server wrote them
    return {name: TIME if name in SERVER_TIMES else booleans.get(cell, cell) for name, cell in row.items()}


def _tree(element: ElementTree.Element) -> list[Any]:
    if element.tag in SERVER_TIMES:
        return [element.tag, TIME]
    if len(element) == 0:
        return [element.tag, (element.text or "").strip()]
    return [element.tag, [_tree(child) for child in element]]


# --- what no client can mind: how a number is spelled in CSV and XML, the order of fields and the name of list items in XML


def _comparable(answer: Step) -> Step:
    body = answer.get("body")
    if isinstance(body, dict) and body.keys() == {"csv"}:
        return {**answer, "body": [{name: _number(cell) for name, cell in row.items()} for row in body["csv"]]}
    if isinstance(body, dict) and body.keys() == {"xml"}:
        return {**answer, "body": _loose(body["xml"])}
    return answer


def _loose(node: list[Any]) -> list[Any]:
    tag, content = node
    if isinstance(content, str):
        return [tag, _number(content)]
    children = [_loose(child) for child in content]
    names = {name for name, _ in children}
    if tag != "items" and len(names) == 1 and tag.lower().startswith(min(names).lower()[:3]):
        children = [["*", value] for _, value in children]
    return [tag, children if tag == "items" else sorted(children, key=repr)]


def _number(text: str) -> str:
    try:
        return str(float(text))
    except ValueError:
        return text
