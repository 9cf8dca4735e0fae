"""Copy subjects, roles and documents from one APIv3 server to another. Safe to run again.

    export OLD=https://old.example NEW=http://127.0.0.1:8000 API_SECRET='the secret of both'
    python3 move.py subjects
    OLD_TOKEN=reader-0123456789abcdef NEW_TOKEN=admin-0123456789abcdef python3 move.py documents

Needs nothing but Python 3.11. What the old server marks as deleted is left behind.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

COLLECTIONS = ("devicestatus", "entries", "food", "profile", "settings", "treatments")
SERVERS_OWN = ("srvCreated", "srvModified", "subject", "modifiedBy")
PAGE = 500


def call(method: str, address: str, headers: dict[str, str], document: dict[str, Any] | None = None) -> tuple[int, Any]:
    """The status and the JSON of an answer. Ends the program where there is no server that answers."""
    body = None if document is None else json.dumps(document).encode()
    sent = {"Content-Type": "application/json", **headers}
    server = address.partition("/api/")[0]  # what follows may hold a token
    try:
        with answered(Request(address, body, sent, method=method)) as answer:  # noqa: S310 (the user's own addresses)
            return answer.status, json.loads(answer.read() or b"{}")
    except OSError as error:
        sys.exit(f"{server} cannot be reached: {getattr(error, 'reason', error)}")
    except (ValueError, HTTPException):
        sys.exit(f"At {server} there is no server of APIv3.")


def answered(request: Request) -> Any:
    try:
        return urlopen(request)  # noqa: S310
    except HTTPError as refusal:  # an answer like any other
        return refusal


def subjects() -> None:
    """Roles first, then the subjects that have them; each keeps its _id, and so its access token."""
    secret = {"api-secret": hashlib.sha1(given("API_SECRET").encode()).hexdigest()}  # noqa: S324 (the protocol's way)
    for kind, fields in (("roles", ("permissions",)), ("subjects", ("roles",))):
        path = f"/api/v2/authorization/{kind}"
        status, found = call("GET", given("OLD") + path, secret)
        if status != 200:
            sys.exit(f"{given('OLD')}{path}: {status} {found}")
        for each in found:
            if "_id" not in each:  # a built-in role
                continue
            copied = {name: each.get(name) or "" for name in ("_id", "name", "notes", *fields)}
            status, answer = call("POST", given("NEW") + path, secret, copied)
            if status == 401:
                sys.exit(f"API_SECRET is not good at {given('NEW')}.")
            say(f"{kind} {each['name']}: {'copied' if status == 200 else answer.get('message')}")


def documents() -> None:
    for collection in COLLECTIONS:
        counts: Counter[int] = Counter()
        jwt = token()
        for document in read(collection):
            document.setdefault("app", "moved")  # documents of older protocols have none, and here it is demanded
            for field in SERVERS_OWN:  # the new server's own are other ones
                document.pop(field, None)
            headers = {"Authorization": f"Bearer {jwt}", "Date": now()}
            status, answer = call("POST", f"{given('NEW')}/api/v3/{collection}", headers, document)
            counts[status] += 1
            if status not in (200, 201):
                say(f"{collection} {document.get('identifier')}: {status} {answer.get('message')}")
        refused = counts.total() - counts[200] - counts[201]
        say(f"{collection}: {counts[201]} new, {counts[200]} there already, {refused} refused")


def read(collection: str) -> Iterator[dict[str, Any]]:
    """All documents of the old server, a page after the other."""
    skip = 0
    while True:
        query = f"sort=date&limit={PAGE}&skip={skip}&token={given('OLD_TOKEN')}&now={now()}"
        status, answer = call("GET", f"{given('OLD')}/api/v3/{collection}?{query}", {})
        if status == 401:
            sys.exit(f"OLD_TOKEN is not good at {given('OLD')}: {answer.get('message')}")
        if status != 200:
            say(f"{collection}: {status} {answer.get('message')}")
            return
        yield from answer["result"]
        if len(answer["result"]) < PAGE:
            return
        skip += PAGE


def token() -> str:
    status, answer = call("GET", f"{given('NEW')}/api/v2/authorization/request/{given('NEW_TOKEN')}", {})
    return str(answer["token"]) if status == 200 else sys.exit(f"NEW_TOKEN is not good at {given('NEW')}.")


def given(name: str) -> str:
    """A variable of the environment. Ends the program where it is not set."""
    return os.environ.get(name) or sys.exit(f"{name} is not set; the first lines of {sys.argv[0]} show how.")


def now() -> str:
    return str(int(time.time() * 1000))


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    work = {"subjects": subjects, "documents": documents}.get(" ".join(sys.argv[1:]))
    if work is None:
        sys.exit(f"Say what to copy: python3 {sys.argv[0]} subjects, or python3 {sys.argv[0]} documents")
    work()
