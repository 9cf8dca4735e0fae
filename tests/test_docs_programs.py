"""The programs in docs/: what can go wrong on the way is told in one sentence, and no token is part of it."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.support.devices import code_at, command_line
from tests.support.factories import FreshServer
from tests.support.processes import clean_environment, free_port
from tests.support.server import LiveServer
from tests.support.wire import now_ms, unique

DOCS = Path(__file__).parents[1] / "docs"
MOVE, FIRST_APP, STATION = DOCS / "how-to/move.py", DOCS / "tutorials/first_app.py", DOCS / "tutorials/weather_station.py"
READINGS = str(DOCS / "tutorials/readings.csv")
WRONG = "nobody-0123456789abcdef"


def refused(program: Path, *arguments: str, **environment: str) -> str:
    """The one sentence of a program that ends with it, and has printed nothing else."""
    done = subprocess.run(
        [sys.executable, program, *arguments],
        env=clean_environment() | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    [sentence] = done.stderr.splitlines()
    assert WRONG not in sentence
    return sentence


@contextmanager
def another_server() -> Iterator[str]:
    """One that answers everything with a page."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, format: str, *arguments: object) -> None:
            """Silence."""

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("arguments", [[], ["subject"], ["subjects", "documents"]])
def test_move_says_what_it_can_copy(arguments: list[str]) -> None:
    assert "move.py subjects" in refused(MOVE, *arguments)


def test_move_says_what_is_not_set() -> None:
    assert refused(MOVE, "subjects").startswith("API_SECRET is not set; ")
    assert refused(MOVE, "documents").startswith("NEW is not set; ")


def test_move_says_which_server_it_does_not_find() -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert refused(MOVE, "subjects", OLD=nowhere, API_SECRET="x").startswith(f"{nowhere} cannot be reached: ")
    assert refused(MOVE, "documents", NEW=nowhere, NEW_TOKEN=WRONG).startswith(f"{nowhere} cannot be reached: ")
    with another_server() as page:
        sentence = f"At {page} there is no server of APIv3."
        assert refused(MOVE, "subjects", OLD=page, API_SECRET="x") == sentence
        assert refused(MOVE, "documents", NEW=page, NEW_TOKEN=WRONG) == sentence


def test_move_stops_at_a_token_that_is_not_good(server: LiveServer) -> None:
    good = server.subject(unique("mover"), "*")
    both = {"OLD": server.url, "NEW": server.url}
    assert refused(MOVE, "documents", NEW_TOKEN=WRONG, OLD_TOKEN=good, **both) == f"NEW_TOKEN is not good at {server.url}."
    assert refused(MOVE, "documents", NEW_TOKEN=good, OLD_TOKEN=WRONG, **both) == f"OLD_TOKEN is not good at {server.url}."


def test_move_copies_documents_and_sends_no_token_in_an_address(fresh_server: FreshServer) -> None:
    old, new = fresh_server(), fresh_server()
    names = {unique("moved") for _ in range(3)}
    for name in names:
        entry = {"identifier": name, "app": "tests", "date": now_ms(), "type": "sgv", "sgv": 100}
        assert old.client(old.subject(unique("writer"), "*")).post("/api/v3/entries", json=entry).status_code == 201
    tokens = {"OLD_TOKEN": old.subject(unique("mover"), "*"), "NEW_TOKEN": new.subject(unique("mover"), "*")}
    done = subprocess.run(
        [sys.executable, MOVE, "documents"],
        env=clean_environment() | {"OLD": old.url, "NEW": new.url, **tokens},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "entries: 3 new, 0 there already, 0 refused\n" in done.stdout
    found = new.client(tokens["NEW_TOKEN"]).get("/api/v3/entries").json()["result"]
    assert {each["identifier"] for each in found} == names
    old.stop()  # so that its log is complete
    asked = [line for line in old.output.splitlines() if "/api/v3/entries?sort=date" in line]
    assert asked
    assert not any("token=" in line for line in asked)


def test_the_first_app_says_what_it_needs() -> None:
    assert refused(FIRST_APP, "upload", READINGS).startswith("TOKEN is not set: ")
    for arguments in ([], ["upload"], ["uplod", READINGS]):
        assert "first_app.py upload FILE" in refused(FIRST_APP, *arguments, TOKEN=WRONG)
    nowhere = f"http://127.0.0.1:{free_port()}"
    for arguments in (["upload", READINGS], ["follow"]):
        assert refused(FIRST_APP, *arguments, TOKEN=WRONG, API=nowhere).startswith(f"{nowhere} cannot be reached: ")


def test_the_first_app_stops_at_the_first_refusal(server: LiveServer) -> None:
    reader = server.subject(unique("reader"), "api:food:read")
    for arguments in (["upload", READINGS], ["follow"]):
        assert refused(FIRST_APP, *arguments, TOKEN=WRONG, API=server.url) == f"TOKEN is not good at {server.url}."
        sentence = refused(FIRST_APP, *arguments, TOKEN=reader, API=server.url)
        assert "Missing permission api:entries:" in sentence


def test_the_weather_station_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in ([], ["pair"], ["measure"]):
        assert "weather_station.py pair CODE" in refused(STATION, *arguments)
    assert refused(STATION, "run").startswith("The station has no key yet: ")
    assert refused(STATION, "pair", "apiv3:1:...").startswith("This is no pairing code: ")


def test_the_weather_station_is_paired_once(server: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    added = command_line(server, "add", unique("station"))
    code = code_at(server.url, added["pairing_code"])
    nowhere = code_at(f"http://127.0.0.1:{free_port()}", added["pairing_code"])
    assert " cannot be reached: " in refused(STATION, "pair", nowhere)
    paired = subprocess.run(
        [sys.executable, STATION, "pair", code], env=clean_environment(), capture_output=True, text=True, check=True
    )
    assert paired.stdout == f"This is the device {added['_id']} now.\n"
    sentence = refused(STATION, "pair", code)
    assert sentence.startswith(f"{server.url} does not enrol the device: ")
    assert code not in sentence
