"""A first app: send the readings of a Dexcom Clarity export, and follow what is new.

export API=http://127.0.0.1:8000 TOKEN=laptop-0123456789abcdef
.venv/bin/python docs/tutorials/first_app.py upload docs/tutorials/readings.csv
.venv/bin/python docs/tutorials/first_app.py follow
"""

from __future__ import annotations

import csv
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from apiv3.client.errors import Refused, Unreachable
from apiv3.client.http import Server

API = os.environ.get("API", "http://127.0.0.1:8000")
ZONE = ZoneInfo("UTC")  # in which the export's times are; for your own put in yours, such as Europe/Berlin
BEGINNING = 946_684_800_000  # the year 2000: nothing is older


def call(server: Server, method: str, path: str, document: dict[str, Any] | None = None) -> tuple[int, Any]:
    """The status and the JSON of an answer. Ends the program when the caller is refused: so would be the next call."""
    status, answer = server.call(method, path, document)
    if status in (401, 403):
        sys.exit(f"{server.url} refuses {method} {path}: {answer['message']}")
    return status, answer


def readings(file: str) -> Iterator[dict[str, Any]]:
    """The glucose values of a Clarity export in mg/dL. Its times are local, those of ZONE."""
    with open(file, encoding="utf-8-sig", newline="") as lines:
        for row in csv.DictReader(lines):
            value = row["Glucose Value (mg/dL)"]
            if row["Event Type"] == "EGV" and value.isdigit():  # the others are words: Low, High
                moment = datetime.fromisoformat(row["Timestamp (YYYY-MM-DDThh:mm:ss)"]).replace(tzinfo=ZONE)
                device = row["Source Device ID"]
                yield {"app": "first-app", "device": device, "type": "sgv", "sgv": int(value), "date": moment.isoformat()}


def upload(server: Server, file: str) -> None:
    """Send every reading. 201: new. 200: it was there already. Sending twice does no harm."""
    counts: Counter[int] = Counter()
    for reading in readings(file):
        status, answer = call(server, "POST", "/api/v3/entries", reading)
        counts[status] += 1
        if status not in (200, 201):
            say(f"{reading['date']}: {answer}")
    say(f"new: {counts[201]}, there already: {counts[200]}, refused: {counts.total() - counts[200] - counts[201]}")


def follow(server: Server) -> None:
    """Print every change, from the first one on, until Ctrl-C. The cursor is the srvModified of the last change seen."""
    cursor = BEGINNING
    while True:
        status, answer = call(server, "GET", f"/api/v3/entries/history/{cursor}?limit=500")
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
    server = Server(API, token)
    try:
        match words:
            case ["upload", file]:
                upload(server, file)
            case ["follow"]:
                with suppress(KeyboardInterrupt):
                    follow(server)
            case _:
                sys.exit("Say what to do: first_app.py upload FILE, or first_app.py follow")
    except Refused:
        sys.exit(f"TOKEN is not good at {API}.")
    except Unreachable as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
