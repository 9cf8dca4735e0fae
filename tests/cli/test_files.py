"""`apiv3 import` and `apiv3 export`: files of every kind, in and out, into the database and over HTTP."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apiv3.client import uploads
from apiv3.files import writing
from tests.support.clarity import EXPORTS
from tests.support.commands import Done, here, process
from tests.support.documents import Corner, api_of
from tests.support.factories import FreshServer, NewDatabase
from tests.support.installation import Installation
from tests.support.processes import free_port
from tests.support.server import LiveServer
from tests.support.waiting import PATIENCE, wait_until
from tests.support.wire import unique

ENTRIES = {"sample": 15, "real": 2148}
"""How many entries are in an export: readings, and calibrations."""
DATE = 1_600_087_000_000


@pytest.fixture
def installation(tmp_path: Path, database: str, new_database: NewDatabase) -> Any:
    """One that was never started, on each kind of database."""
    with new_database(database) as url:
        found = Installation(tmp_path, url)
        assert here(found, "db", "upgrade").status == 0
        yield found


def entries(number: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"app": "test", "type": "sgv", "sgv": 100, "date": DATE + each * 300_000, **fields} for each in range(number)]


def write(path: Path, documents: list[Any]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in documents))
    return path


def summary(installation: Installation, *arguments: str, status: int = 0, **options: Any) -> dict[str, Any]:
    done = here(installation, "import", *arguments, "--json", **options)
    assert done.status == status, done.errors
    found: dict[str, Any] = json.loads(done.output)
    assert found["complete"] == (status == 0)
    return found


def counts(new: int = 0, duplicate: int = 0, refused: int = 0) -> dict[str, int]:
    return {"new": new, "duplicate": duplicate, "refused": refused}


@pytest.mark.parametrize("kind", EXPORTS)
def test_a_clarity_export(installation: Installation, kind: str) -> None:
    path = EXPORTS[kind]
    first = summary(installation, str(path), "--timezone", "Europe/Berlin")["collections"]
    assert first["entries"] == counts(new=ENTRIES[kind])
    assert {name: sum(each.values()) for name, each in first.items()} == {name: each["new"] for name, each in first.items()}
    again = summary(installation, str(path), "--timezone", "Europe/Berlin")["collections"]
    assert again == {name: counts(duplicate=each["new"]) for name, each in first.items()}


def test_what_went_in_comes_out(installation: Installation, tmp_path: Path) -> None:
    file = write(tmp_path / "entries.ndjson", entries(2500, device="x"))
    assert summary(installation, str(file))["collections"] == {"entries": counts(new=2500)}
    target = tmp_path / "out.ndjson"
    done = here(installation, "export", "entries", "--output", str(target))
    assert (done.status, done.errors) == (0, "entries: 2,500 documents exported\n")
    assert [
        {name: each[name] for name in ("date", "sgv", "device")} for each in map(json.loads, target.read_text().splitlines())
    ] == [{"date": DATE + number * 300_000, "sgv": 100, "device": "x"} for number in range(2500)]
    printed = here(installation, "export", "entries", "--since", "2020-09-14T12:36:40Z", "--until", "2020-09-14T12:46:40Z")
    assert printed.output == "".join(target.read_text().splitlines(keepends=True)[:2])
    table = here(installation, "export", "entries", "--format", "csv").output
    assert table.count("\n") == 2501
    file = write(tmp_path / "treatments.ndjson", [{**each, "notes": "=1+1", "sgv": -5} for each in entries(1)])
    assert summary(installation, str(file))["collections"] == {"treatments": counts(new=1)}
    for form, shown in (("csv", ",'=1+1,"), ("csv-exact", ",=1+1,")):
        assert shown in here(installation, "export", "treatments", "--format", form).output
    javascript = "Mon Sep 14 2020 14:36:40 GMT+0200 (Central European Summer Time)"
    one = here(installation, "export", "entries", "--since", javascript, "--until", "2020-09-14T12:41:40Z")
    assert (one.output, one.errors) == (printed.output.splitlines(keepends=True)[0], "entries: 1 document exported\n")
    told = here(installation, "export", "entries", "--output", str(target), "--json")
    assert json.loads(told.output) == {"collection": "entries", "documents": 2500, "file": str(target)}
    assert not list(tmp_path.glob("*.part"))


def test_an_array_from_the_standard_input(installation: Installation) -> None:
    data = json.dumps(entries(3)).encode()
    assert summary(installation, "-", "--collection", "entries", stdin=data)["collections"] == {"entries": counts(new=3)}


def test_what_is_refused_is_told_with_its_line(installation: Installation, tmp_path: Path) -> None:
    file = write(tmp_path / "entries.json", [*entries(1), {"date": DATE + 1}, *entries(1)])
    with file.open("a") as more:
        more.write('{"a":\n' + "".join(json.dumps(each) + "\n" for each in [{"app": "x"}] * 30))
    done = here(installation, "import", str(file))
    assert done.status == 1
    assert done.output == "entries: 1 new, 1 there already, 32 refused\n"
    lines = done.errors.splitlines()
    assert lines[:2] == ["line 2: Bad or missing app field", lines[1]]
    assert lines[1].startswith("line 4: Bad document: unexpected end of data")
    assert lines[-2:] == ["and 12 more; --json lists them all", "Error: Not everything is in."]
    refused = summary(installation, str(file), status=1)["refused"]
    assert [each["line"] for each in refused] == [2, *range(4, 35)]


def test_refused_rows_of_a_clarity_export(fresh_server: FreshServer, installation: Installation, tmp_path: Path) -> None:
    """They go nowhere, the others go in; also to a server."""
    header, *rows = EXPORTS["sample"].read_text("utf-8-sig").splitlines()
    reading = next(each for each in rows if ",EGV," in each)
    time = reading.split(",")[1]
    wrong = [reading.replace(time, "31.1.2024"), reading.replace(",EGV,", ",Moonrise,"), reading.replace(",EGV,", ",Carbs,")]
    file = tmp_path / "clarity.csv"
    file.write_text("\n".join([header, *wrong, reading]))
    told = {"": counts(refused=1), "entries": counts(new=1, refused=1), "treatments": counts(refused=1)}
    server = fresh_server()
    elsewhere = {"APIV3_TOKEN": server.subject("importer", "api:*:create,read")}
    for options in ([], ["--url", server.url]):
        installation.settings = elsewhere
        found = summary(installation, str(file), *options, "--timezone", "UTC", status=1)
        assert found["collections"] == told
        assert [each["line"] for each in found["refused"]] == [2, 3, 4]
    done = here(installation, "import", str(file), "--timezone", "UTC")
    assert (done.status, sorted(done.output.splitlines())[1]) == (1, "no collection: 0 new, 0 there already, 1 refused")
    assert "line 3: Unknown event type 'Moonrise'" in done.errors


def test_an_array_is_told_by_its_documents(installation: Installation) -> None:
    data = json.dumps([*entries(1), 5], indent=2).encode()
    done = here(installation, "import", "-", "--collection", "entries", stdin=data)
    assert done.errors.splitlines()[0] == "document 2: Bad document: it must be a JSON object with fields"
    found = summary(installation, "-", "--collection", "entries", stdin=data, status=1)
    assert [each["document"] for each in found["refused"]] == [2]


@pytest.mark.parametrize("data", [b"", b"[]", b"\n"])
def test_a_file_without_documents(tmp_path: Path, data: bytes) -> None:
    installation = Installation(tmp_path, f"sqlite:///{tmp_path / 'apiv3.db'}")
    done = here(installation, "import", "-", "--collection", "entries", stdin=data)
    assert (done.status, done.output) == (0, "0 documents\n")


def test_a_saved_answer_to_search(server: LiveServer, tmp_path: Path) -> None:
    installation = Installation(tmp_path, f"sqlite:///{tmp_path / 'apiv3.db'}")
    corner = Corner(api_of(server, "api:*:*"), "food")
    name = corner.add(identifier=corner.name("a"))
    answer = corner.api.get("/food", params={"identifier": name})
    (tmp_path / "food.json").write_bytes(answer.content)
    assert summary(installation, "food.json")["collections"] == {"food": counts(new=1)}
    assert json.loads(here(installation, "export", "food").output) == answer.json()["result"][0]


def test_a_line_that_is_a_value_of_extended_json(installation: Installation) -> None:
    data = json.dumps(entries(1)[0]) + '\n{"$oid":"abc"}\n{"$date":{"$numberLong":"5"}}\n'
    found = summary(installation, "-", "--collection", "entries", stdin=data.encode(), status=1)
    assert found["collections"] == {"entries": counts(new=1, refused=2)}
    assert [each["line"] for each in found["refused"]] == [2, 3]


def test_documents_of_mongoexport(installation: Installation, tmp_path: Path) -> None:
    """What JSON cannot say is null, and told; a `created_at` at which nobody looked keeps no document out."""
    file = tmp_path / "entries.json"
    odd = [
        {"sgv": 100, "noise": {"$numberDouble": "NaN"}, "date": {"$numberLong": str(DATE)}},
        {"sgv": 101, "date": {"$numberDouble": "NaN"}, "created_at": "2020-09-14T12:36:40.000Z"},
        {"sgv": 102, "utcOffset": {"$numberDouble": "NaN"}, "date": DATE + 1, "created_at": "Invalid date"},
        {"sgv": 103, "created_at": "1970-01-01T00:00:00.000Z"},
        {"sgv": 104, "created_at": {"$date": {"$numberLong": "0"}}},
        {"sgv": 105, "created_at": "Invalid date"},
        {"sgv": {"$numberDecimal": "106"}, "created_at": {"$undefined": True}},
    ]
    write(file, [{"_id": {"$oid": f"5f5f6a3e9d1c4b001234567{number}"}, **each} for number, each in enumerate(odd)])
    found = summary(installation, str(file))
    assert (found["collections"], found["refused"]) == ({"entries": counts(new=7)}, [])
    notes = {1: "noise", 2: "date", 3: "utcOffset"}
    assert found["notes"] == [
        {"line": line, "note": f"{name} is NaN, which JSON cannot say: stored as null"} for line, name in notes.items()
    ]
    again = here(installation, "import", str(file))
    assert (again.status, again.output) == (0, "entries: 0 new, 7 there already, 0 refused\n")
    assert "line 1: noise is NaN" in again.errors
    stored = {each["sgv"]: each for each in map(json.loads, here(installation, "export", "entries").output.splitlines())}
    assert stored[100]["noise"] is None
    dates = [(stored[sgv].get("date"), stored[sgv].get("created_at")) for sgv in range(100, 107)]
    assert dates == [
        (DATE, "2020-09-14T12:36:40.000Z"),
        (DATE, "2020-09-14T12:36:40.000Z"),
        (DATE + 1, "2020-09-14T12:36:40.001Z"),
        (None, "1970-01-01T00:00:00.000Z"),
        (None, "1970-01-01T00:00:00.000Z"),
        (None, "Invalid date"),
        (None, None),
    ]
    server = LiveServer(installation)
    server.start()
    try:
        for path in ("/lastModified", "/entries?sort=created_at", "/entries?sort$desc=created_at&created_at$gt=2000-01-01"):
            answer = api_of(server, "api:*:read").get(path)
            assert answer.status_code == 200, answer.text
    finally:
        server.stop()


def test_a_file_that_breaks_off(installation: Installation, tmp_path: Path) -> None:
    file = tmp_path / "entries.json"
    file.write_text(json.dumps(entries(5))[:-40])
    done = here(installation, "import", str(file))
    assert (done.status, done.output) == (1, "entries: 4 new, 0 there already, 0 refused\n")
    problem = "cannot be read on: document 5 is no JSON: it has no end. What stands before that is in.\n"
    assert done.errors.endswith(problem)
    assert here(installation, "export", "entries").output.count("\n") == 4


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["import", "nowhere.json"], "nowhere.json cannot be read: No such file or directory."),
        (["import", "."], ". cannot be read: Is a directory."),
        (["import", "readings.json"], "There is no collection 'readings'; there are: devicestatus, entries, food"),
        (["import", "readings.json", "--collection", "weather"], "There is no collection 'weather'"),
        (["import", "readings.json", "--timezone", "Mars/Base"], "--timezone is 'Mars/Base', which is no zone"),
        (["import", "readings.json", "--timezone", "../../etc"], "which is no zone"),
        (["import", "readings.json", "--url", "http://127.0.0.1:9"], "--url needs a token"),
        (["import", "readings.json", "--token", "phone-0123456789abcdef"], "--token is for a server: it needs --url."),
        (["import", "clarity.csv", "--collection", "entries"], "--collection is for JSON"),
        (["import", "-"], "--collection is needed"),
        (["import", "cut.csv", "--timezone", "UTC"], "cut.csv cannot be read: its first line has no column Timestamp."),
        (["import", "picture"], "picture cannot be read: it is neither JSON, nor NDJSON, nor a Dexcom Clarity export in CSV"),
        (["export", "weather"], "There is no collection 'weather'"),
        (
            ["import", "german.csv"],
            "german.csv cannot be read: it is a CSV with glucose in it, but its columns do not have the English",
        ),
        (["import", "cut.csv", "--timezone", "CET-1CEST"], "it does not say when summer time begins and ends"),
        (["export", "entries", "--since", "2024-02-01", "--until", "2024-01-01"], "--since 2024-02-01 is not before --until"),
        (["export", "entries", "--since", "2024-02-01", "--until", "2024-02-01"], "no document can lie between them"),
        (["export", "entries", "--since", "Tue, 05 Mar 2024 10:00:00 CET"], "which is no time"),
        (["export", "entries", "--since", "yesterday"], "--since is 'yesterday', which is no time"),
        (["watch", "--since", "yesterday", "--token", "phone-0123456789abcdef"], "--since is 'yesterday', which is no time"),
        (["export", "entries", "--json", "--output", "-"], "--json tells what was written to a file: it needs --output."),
        (["export", "entries", "--output", "."], ". cannot be written: Is a directory."),
        (["export", "entries", "--json"], "--json tells what was written to a file: it needs --output."),
        (["export", "entries", "--output", "no/such/folder"], "no/such/folder cannot be written: No such file or directory."),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    installation = Installation(tmp_path, f"sqlite:///{tmp_path / 'apiv3.db'}")
    here(installation, "db", "upgrade")
    write(tmp_path / "readings.json", entries(1))
    (tmp_path / "picture").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "clarity.csv").write_bytes(EXPORTS["sample"].read_bytes())
    (tmp_path / "german.csv").write_text("Zeitstempel,Ereignistyp,Glukosewert (mg/dL)\n")
    (tmp_path / "cut.csv").write_text("My Timestamp,Event Type,Glucose Value\n")
    done = here(installation, *arguments)
    assert done.status in (1, 2)
    assert done.output == ""
    assert sentence in done.errors
    assert "Traceback" not in done.errors


def test_no_room_for_what_waits_for_the_header(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writing, "TemporaryFile", full)
    done = here(installation, "export", "entries", "--format", "csv")
    assert (done.status, done.output) == (1, "")
    assert done.errors == "Error: The output cannot be written: No space left on device.\n"


def test_an_export_to_what_is_no_regular_file(tmp_path: Path) -> None:
    """A pipe stays one, and so does a link: what it names is written."""
    installation = Installation(tmp_path, f"sqlite:///{tmp_path / 'apiv3.db'}")
    summary(installation, str(write(tmp_path / "entries.ndjson", entries(2))))
    printed = here(installation, "export", "entries").output
    assert here(installation, "export", "entries", "--output", "-").output == printed
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to-the-pipe").symlink_to("pipe")
    with open(os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)) as pipe:
        for name in ("pipe", "to-the-pipe"):
            assert here(installation, "export", "entries", "--output", name).status == 0
            assert pipe.read() == printed
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/target")
    for _ in range(2):  # the target is not there, and it is
        assert here(installation, "export", "entries", "--output", "link").status == 0
        assert (tmp_path / "folder/target").read_text() == printed
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_symlink()
    assert [each.name for each in (tmp_path / "folder").iterdir()] == ["target"]


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="there is no /dev/full")
@pytest.mark.parametrize("command", [["export", "entries"], ["role", "list"], ["role", "list", "--json"]])
def test_a_standard_output_that_is_full(tmp_path: Path, command: list[str]) -> None:
    installation = Installation(tmp_path, f"sqlite:///{tmp_path / 'apiv3.db'}")
    summary(installation, str(write(tmp_path / "entries.ndjson", entries(2))))
    line, environment = installation.command(*command), installation.environment()
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(line, cwd=tmp_path, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "Error: The output cannot be written: No space left on device.\n")


def test_a_standard_output_that_is_closed(tmp_path: Path) -> None:
    installation = Installation(tmp_path, f"sqlite:///{tmp_path / 'apiv3.db'}")
    assert installation.run("db", "upgrade").returncode == 0
    line = ["sh", "-c", 'exec "$@" >&-', "sh", *installation.command("export", "entries")]
    done = subprocess.run(line, cwd=tmp_path, env=installation.environment(), stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "Error: There is no standard output; --output names a file.\n")


def test_an_interruption(tmp_path: Path) -> None:
    """Ctrl-C in the middle: what was counted is in, whole batches of it, and the same command goes on."""
    installation = Installation(tmp_path, f"sqlite:///{tmp_path / 'apiv3.db'}")
    assert installation.run("db", "upgrade").returncode == 0
    command = installation.command("import", "-", "--collection", "entries")
    lines = [json.dumps(each).encode() + b"\n" for each in entries(15_000)]
    importing = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=installation.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert importing.stdin is not None
    importing.stdin.write(b"".join(lines))
    importing.stdin.flush()
    wait_until(lambda: len(_exported(installation)) == 10_000)
    importing.send_signal(signal.SIGINT)
    output, errors = importing.communicate(timeout=PATIENCE)
    assert importing.returncode == 1
    assert output.decode() == "entries: 10,000 new, 0 there already, 0 refused\n"
    assert "Interrupted." in errors.decode()
    assert "Traceback" not in errors.decode()
    done = here(installation, "import", "-", "--collection", "entries", stdin=b"".join(lines))
    assert done.output == "entries: 5,000 new, 10,000 there already, 0 refused\n"


def _exported(installation: Installation) -> list[str]:
    return here(installation, "export", "entries").output.splitlines()


def test_over_http(fresh_server: FreshServer, tmp_path: Path) -> None:
    """In bulk requests that the server may find too large; documents from before APIv3 keep their address."""
    server = fresh_server(env={"API3_MAX_BULK": "300"})
    token = server.subject("importer", "api:*:create", "api:*:read")
    elsewhere = Installation(tmp_path, f"sqlite:///{tmp_path / 'elsewhere.db'}", {"APIV3_TOKEN": token})
    old = [{"_id": "5f5f6a3e9d1c4b0012345678", "type": "sgv", "sgv": 90, "date": DATE - 1}]
    file = write(tmp_path / "entries.ndjson", [*entries(700), *old, {"app": "x"}, "no document"])
    for expected in (counts(701, 0, 2), counts(0, 701, 2)):
        found = summary(elsewhere, str(file), "--url", server.url, status=1)
        assert found["collections"] == {"entries": expected}
        assert [each["line"] for each in found["refused"]] == [702, 703]
    answer = server.client(token).get(f"{server.url}/api/v3/entries/5f5f6a3e9d1c4b0012345678").json()["result"]
    assert (answer["sgv"], answer["app"], answer["subject"]) == (90, "apiv3 import", "importer")
    assert not Path(tmp_path / "elsewhere.db").exists()


def test_a_server_that_will_not_have_it(fresh_server: FreshServer, tmp_path: Path) -> None:
    server = fresh_server()
    file = write(tmp_path / "entries.ndjson", entries(1))
    reader = server.subject(unique("reader"), "api:*:read")
    for token, sentence in (
        (reader, "403: Missing permission api:entries:create"),
        ("guess-0123456789abcdef", "401: Bad access token or JWT"),
        ("gúess-0123456789abcdef", "401: Bad access token or JWT"),
    ):
        elsewhere = Installation(tmp_path, f"sqlite:///{tmp_path / 'elsewhere.db'}", {"APIV3_TOKEN": token})
        done = process(elsewhere, "import", str(file), "--url", server.url)
        assert (done.status, done.output) == (1, "")
        assert sentence in done.errors
        assert ("`apiv3 subject show NAME` prints it" in done.errors) == ("401" in sentence)
        assert token not in done.errors
        assert "Traceback" not in done.errors
        assert "Exception ignored" not in done.errors


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long uploads would have waited for the server, in seconds."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(uploads, "asyncio", SimpleNamespace(sleep=sleep))
    return waited


def upload(folder: Path, url: str, number: int) -> Done:
    file = write(folder / "entries.ndjson", entries(number))
    elsewhere = Installation(folder, f"sqlite:///{folder / 'elsewhere.db'}", {"APIV3_TOKEN": "phone-0123456789abcdef"})
    return here(elsewhere, "import", str(file), "--url", url)


def test_a_server_that_never_was_there(tmp_path: Path, pauses: list[float]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = upload(tmp_path, url, 1)
    assert (done.status, done.output, pauses) == (1, "", [])
    assert done.errors == f"Error: {url} cannot be reached: All connection attempts failed\n"


def test_a_server_that_goes_away(tmp_path: Path, pauses: list[float]) -> None:
    """It takes a bulk request, and is gone before the second one."""
    with HTTPServer(("127.0.0.1", 0), Obliging) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        Obliging.gone = server.server_close
        done = upload(tmp_path, url, 700)
    assert (done.status, done.output) == (1, "entries: 500 new, 0 there already, 0 refused\n")
    *told, last = done.errors.splitlines()
    assert len(told) == len(pauses) == uploads.ATTEMPTS - 1
    assert all(each.startswith(f"apiv3 import: {url} cannot be reached: ") and each.endswith("; trying again") for each in told)
    assert last.startswith(f"Error: {url} cannot be reached: ")
    assert last.endswith(". What is counted here is in; the same command goes on with the rest.")


class Stranger(BaseHTTPRequestHandler):
    """Answers 200 to everything, with a body that the test gives: a portal on which one logs in to a network."""

    body = b""
    headers_too: Mapping[str, str] = {}

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        for name, value in self.headers_too.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_args: object) -> None:
        """Nothing."""


class Obliging(Stranger):
    """Stores all documents of one request, and then is gone."""

    gone: Callable[[], None]

    def do_POST(self) -> None:
        documents = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).gone()
        result = [{"status": 201, "identifier": "a", "lastModified": 5}] * len(documents)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"result": result}).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"<html>log in</html>",
        b"",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        b"{}",
        b'{"result":5}',
        b'{"result":["ok"]}',
        b'{"result":[]}',
        b'{"result":[{"status":200}]}',
        b'{"result":[{"status":200,"identifier":"a","lastModified":Infinity}]}',
        b'{"result":[{"status":"fine"}]}',
        b'{"result":[{"status":201,"identifier":"a","lastModified":5},{"status":400}]}',
    ],
    ids=lambda body: body[:70].decode("latin-1"),
)
def test_what_answers_is_no_such_server(tmp_path: Path, body: bytes) -> None:
    _no_such_server(tmp_path, type("Portal", (Stranger,), {"body": body}))


def test_what_answers_is_not_encoded_as_it_says(tmp_path: Path) -> None:
    _no_such_server(tmp_path, type("Portal", (Stranger,), {"headers_too": {"Content-Encoding": "gzip"}, "body": b"plain"}))


def _no_such_server(folder: Path, portal: type[Stranger]) -> None:
    with HTTPServer(("127.0.0.1", 0), portal) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        done = upload(folder, url, 1)
    assert (done.status, done.output) == (1, "")
    assert done.errors == f"Error: {url} answers, but not as this server does.\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(tmp_path: Path, shell: str) -> None:
    script = here(Installation(tmp_path, "sqlite:///unused"), "completion", shell).output
    assert "_APIV3_COMPLETE" in script
    if shell == "bash":
        asked = {"_APIV3_COMPLETE": "bash_complete", "COMP_WORDS": "apiv3 exp", "COMP_CWORD": "1", **os.environ}
        command = Path(sys.executable).with_name("apiv3")
        done = subprocess.run([command], env=asked, capture_output=True, text=True, check=False, timeout=60)
        assert "export" in done.stdout
