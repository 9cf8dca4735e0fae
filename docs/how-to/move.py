"""Copy subjects, roles and documents from one APIv3 server to another. Safe to run again.

    export OLD=https://old.example NEW=http://127.0.0.1:8000 API_SECRET='the secret of both'
    .venv/bin/python docs/how-to/move.py subjects
    OLD_TOKEN=reader-0123456789abcdef NEW_TOKEN=admin-0123456789abcdef .venv/bin/python docs/how-to/move.py documents

Documents that are deleted on the old server are not copied.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

from apiv3.client.errors import Refused, Stranger, Unreachable
from apiv3.client.http import Server

COLLECTIONS = ("devicestatus", "entries", "food", "profile", "settings", "treatments")
SERVERS_OWN = ("srvCreated", "srvModified", "subject", "modifiedBy")
PAGE = 500


def subjects() -> None:
    """Copy the roles, then the subjects that have them. Each subject keeps its _id, and therefore its access token."""
    secret = {"api-secret": hashlib.sha1(given("API_SECRET").encode()).hexdigest()}  # noqa: S324 (the protocol's way)
    old, new = Server(given("OLD")), None
    for kind, fields in (("roles", ("permissions",)), ("subjects", ("roles",))):
        path = f"/api/v2/authorization/{kind}"
        status, found = old.call("GET", path, headers=secret)
        if status != 200:
            sys.exit(f"{old.url}{path}: {status} {found}")
        new = new or Server(given("NEW"))
        for each in found:
            if "_id" not in each:  # a built-in role
                continue
            copied = {name: each.get(name) or "" for name in ("_id", "name", "notes", *fields)}
            status, answer = new.call("POST", path, copied, headers=secret)
            if status == 401:
                sys.exit(f"API_SECRET is not good at {new.url}.")
            say(f"{kind} {each['name']}: {'copied' if status == 200 else answer.get('message')}")


def documents() -> None:
    """Copy every document of the collections, one by one."""
    new = logged_in("NEW", "NEW_TOKEN")
    old = logged_in("OLD", "OLD_TOKEN")
    for collection in COLLECTIONS:
        counts: Counter[int] = Counter()
        for document in read(old, collection):
            document.setdefault("app", "moved")  # documents of older protocols have none, and here it is demanded
            for field in SERVERS_OWN:  # the new server's own are other ones
                document.pop(field, None)
            status, answer = new.call("POST", f"/api/v3/{collection}", document)
            counts[status] += 1
            if status not in (200, 201):
                say(f"{collection} {document.get('identifier')}: {status} {answer.get('message')}")
        refused = counts.total() - counts[200] - counts[201]
        say(f"{collection}: {counts[201]} new, {counts[200]} there already, {refused} refused")


def logged_in(address: str, token: str) -> Server:
    """Return a server that accepts the token. Variables of the environment name both. Ends the program if it is refused."""
    server = Server(given(address), given(token))
    try:
        server.log_in()
    except Refused:
        sys.exit(f"{token} is not good at {server.url}.")
    return server


def read(old: Server, collection: str) -> Iterator[dict[str, Any]]:
    """All documents of the old server, a page after the other."""
    skip = 0
    while True:
        status, answer = old.call("GET", f"/api/v3/{collection}?sort=date&limit={PAGE}&skip={skip}")
        if status != 200:
            say(f"{collection}: {status} {answer.get('message')}")
            return
        yield from answer["result"]
        if len(answer["result"]) < PAGE:
            return
        skip += PAGE


def given(name: str) -> str:
    """A variable of the environment. Ends the program where it is not set."""
    return os.environ.get(name) or sys.exit(f"{name} is not set; the first lines of {sys.argv[0]} show how.")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    work = {"subjects": subjects, "documents": documents}.get(" ".join(sys.argv[1:]))
    if work is None:
        sys.exit(f"Say what to copy: {sys.argv[0]} subjects, or {sys.argv[0]} documents")
    try:
        work()
    except Stranger as stranger:
        sys.exit(f"At {stranger.url} there is no server of APIv3.")
    except (Refused, Unreachable) as error:
        sys.exit(str(error))
