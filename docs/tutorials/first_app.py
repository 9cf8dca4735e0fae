"""A first app: send the readings of a Dexcom Clarity export, and follow what is new.

    API=http://127.0.0.1:8000 TOKEN=laptop-0123456789abcdef python3 first_app.py upload readings.csv
    API=http://127.0.0.1:8000 TOKEN=laptop-0123456789abcdef python3 first_app.py follow

Needs nothing but Python 3.11.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

API = os.environ.get("API", "http://127.0.0.1:8000")
BEGINNING = 946_684_800_000  # the year 2000: nothing is older


class Client:
    """Calls the API, with a JWT that it renews when the server no longer takes it."""

    def __init__(self, token: str) -> None:
        self._token, self._jwt = token, ""

    def call(self, method: str, path: str, document: dict[str, Any] | None = None) -> tuple[int, Any]:
        """The status and the JSON of an answer. Ends the program when the caller is refused: so would be the next call."""
        status, answer = self._send(method, path, document)
        if status == 401:
            self._jwt = self._exchange()
            status, answer = self._send(method, path, document)
        if status in (401, 403):
            sys.exit(f"{API} refuses {method} {path}: {answer['message']}")
        return status, answer

    def _exchange(self) -> str:
        status, answer = self._send("GET", f"/api/v2/authorization/request/{self._token}")
        return str(answer["token"]) if status == 200 else sys.exit(f"TOKEN is not good at {API}.")

    def _send(self, method: str, path: str, document: dict[str, Any] | None = None) -> tuple[int, Any]:
        headers = {"Date": str(int(time.time() * 1000)), "Content-Type": "application/json"}
        if self._jwt and "/authorization/" not in path:
            headers["Authorization"] = f"Bearer {self._jwt}"
        body = None if document is None else json.dumps(document).encode()
        try:
            with urlopen(Request(API + path, body, headers, method=method)) as answer:  # noqa: S310 (the user's own address)
                return answer.status, json.load(answer)
        except HTTPError as refusal:
            return refusal.code, json.loads(refusal.read() or b"{}")
        except OSError as error:
            sys.exit(f"{API} cannot be reached: {getattr(error, 'reason', error)}")


def readings(file: str) -> Iterator[dict[str, Any]]:
    """The glucose values of a Clarity export in mg/dL. Its times are local; this machine's time zone is taken for theirs."""
    with open(file, encoding="utf-8-sig", newline="") as lines:
        for row in csv.DictReader(lines):
            value = row["Glucose Value (mg/dL)"]
            if row["Event Type"] == "EGV" and value.isdigit():  # the others are words: Low, High
                moment = datetime.fromisoformat(row["Timestamp (YYYY-MM-DDThh:mm:ss)"]).astimezone()
                device = row["Source Device ID"]
                yield {"app": "first-app", "device": device, "type": "sgv", "sgv": int(value), "date": moment.isoformat()}


def upload(client: Client, file: str) -> None:
    """Send every reading. 201: new. 200: it was there already. Sending twice does no harm."""
    counts: Counter[int] = Counter()
    for reading in readings(file):
        status, answer = client.call("POST", "/api/v3/entries", reading)
        counts[status] += 1
        if status not in (200, 201):
            say(f"{reading['date']}: {answer}")
    say(f"new: {counts[201]}, there already: {counts[200]}, refused: {counts.total() - counts[200] - counts[201]}")


def follow(client: Client) -> None:
    """Print every change, from the first one on, until Ctrl-C. The cursor is the srvModified of the last change seen."""
    cursor = BEGINNING
    while True:
        status, answer = client.call("GET", f"/api/v3/entries/history/{cursor}?limit=500")
        if status != 200:
            sys.exit(f"{status}: {answer}")
        for document in answer["result"]:
            state = "deleted" if document.get("isValid") is False else document.get("sgv")
            say(f"{document['created_at']} {state}")
            cursor = document["srvModified"]
        if not answer["result"]:
            time.sleep(5)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(words: list[str]) -> None:
    token = os.environ.get("TOKEN") or sys.exit("TOKEN is not set: export TOKEN=laptop-0123456789abcdef, with digits of yours.")
    match words:
        case ["upload", file]:
            upload(Client(token), file)
        case ["follow"]:
            with suppress(KeyboardInterrupt):
                follow(Client(token))
        case _:
            sys.exit("Say what to do: first_app.py upload FILE, or first_app.py follow")


if __name__ == "__main__":
    main(sys.argv[1:])
