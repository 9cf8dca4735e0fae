"""The time zone of a Clarity export, and a look at what would be stored."""

import json
import os
import pty
import subprocess
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from apiv3.cli import zones
from tests.support.commands import here
from tests.support.installation import Installation

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests/data/clarity-sample.csv"
DATES = [datetime.fromisoformat(f"2024-{day}T12:00:00") for day in ("01-31", "03-20", "07-31", "11-01")]
EASTERN, BERLIN = "EST5EDT,M3.2.0,M11.1.0", "CET-1CEST,M3.5.0,M10.5.0/3"


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path, f"sqlite:///{tmp_path / 'apiv3.db'}")


def dry(installation: Installation, *arguments: str, status: int = 0) -> dict[str, Any]:
    done = here(installation, "import", *arguments, "--dry-run", "--json")
    assert done.status == status, done.errors
    found: dict[str, Any] = json.loads(done.output)
    return found


def same(one: Any, other: Any) -> bool:
    return [each.replace(tzinfo=one).utcoffset() for each in DATES] == [
        each.replace(tzinfo=other).utcoffset() for each in DATES
    ]


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("AMERICA/NEW_YORK", "America/New_York"),
        ("utc", "UTC"),
        ("EST5EDT", "America/New_York"),
        (EASTERN, "America/New_York"),
        (BERLIN, "Europe/Berlin"),
        ("<+03>-3", "Etc/GMT-3"),
        ("EST5", "Etc/GMT+5"),
    ],
)
def test_a_zone_by_its_name(name: str, zone: str) -> None:
    assert same(zones.named(name).rules, ZoneInfo(zone))


@pytest.mark.parametrize(
    "name",
    [
        *("Mars/Base", "CET-1CEST", "../../etc", "Europe", "Europe/Berlin\0", "CET-1CEST,M3.5.0", "5", "\u0660", "+02:00"),
        *("UTC+2", "utc-5", "GMT+1", "UTC+02:00", "UTC-1CEST,M3.5.0,M10.5.0/3"),  # POSIX counts the other way round
    ],
)
def test_what_is_no_zone(installation: Installation, name: str) -> None:
    done = here(installation, "import", str(SAMPLE), "--timezone", name, "--dry-run")
    assert (done.status, done.output) == (2, "")
    assert "which is no zone" in done.errors


def paths() -> list[str]:
    folder = Path("/usr/share/zoneinfo")
    return [f":{folder}/Pacific/Chatham", f"{folder}/Pacific/Chatham"] if (folder / "Pacific/Chatham").exists() else []


@pytest.mark.parametrize("text", ["Pacific/Chatham", ":Pacific/Chatham", "pacific/chatham", *paths()])
def test_the_zone_of_this_machine_is_that_of_tz(installation: Installation, text: str) -> None:
    installation.settings = {"TZ": text}
    done = here(installation, "import", str(SAMPLE))
    assert "taken as those of this machine's time zone, Pacific/Chatham;" in done.errors
    assert done.status == 0
    again = here(installation, "import", str(SAMPLE), "--timezone", "Pacific/Chatham")
    assert "0 new, 15 there already" in again.output
    assert "this machine" not in again.errors


@pytest.mark.parametrize("text", [BERLIN, EASTERN])
def test_summer_time_by_the_rules_of_tz(installation: Installation, tmp_path: Path, text: str) -> None:
    installation.settings = {"TZ": text}
    header, *_ = SAMPLE.read_text("utf-8-sig").splitlines()
    lines = [f"1,{day:%Y-%m-%dT%H:%M:%S},EGV,,,,G6,100,,,," for day in DATES]
    (tmp_path / "clarity.csv").write_text("\n".join([header, *lines]))
    assert here(installation, "import", "clarity.csv").status == 0
    stored = [json.loads(line) for line in here(installation, "export", "entries").output.splitlines()]
    zone = ZoneInfo("Europe/Berlin" if text == BERLIN else "America/New_York")
    expected = [day.replace(tzinfo=zone) for day in DATES]
    assert [each["date"] for each in stored] == [day.timestamp() * 1000 for day in expected]
    assert [timedelta(minutes=each["utcOffset"]) for each in stored] == [day.utcoffset() for day in expected]


@pytest.mark.parametrize(
    "text", ["UTC", "UTC0", "", "Etc/UTC", "GMT", "Zulu", "CET-1CEST", "UTC+2", "Mars/Base", ":/no/such/file", "/etc/passwd"]
)
def test_where_the_zone_is_utc_or_unknown_it_has_to_be_said(installation: Installation, text: str) -> None:
    installation.settings = {"TZ": text}
    done = here(installation, "import", str(SAMPLE))
    assert (done.status, done.output) == (2, "")
    assert "The times of a Clarity export do not say their time zone" in done.errors
    assert "--timezone, such as Europe/Berlin" in done.errors
    assert not (installation.folder / "apiv3.db").exists()
    assert here(installation, "import", str(SAMPLE), "--timezone", "UTC").status == 0


def test_json_needs_no_zone(installation: Installation) -> None:
    installation.settings = {"TZ": "UTC"}
    (installation.folder / "entries.json").write_text('{"app":"x","date":1600087000000}')
    assert here(installation, "import", "entries.json").output == "entries: 1 new, 0 there already, 0 refused\n"


def test_on_a_terminal_it_is_asked_for(installation: Installation) -> None:
    installation.settings = {"TZ": "UTC"}
    ours, theirs = pty.openpty()
    command = installation.command("import", str(SAMPLE))
    importing = subprocess.Popen(
        command, cwd=installation.folder, env=installation.environment(), stdin=theirs, stderr=theirs, stdout=subprocess.PIPE
    )
    os.close(theirs)
    os.write(ours, b"Mars/Base\neurope/berlin\n")
    output, _ = importing.communicate(timeout=60)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert importing.returncode == 0, shown
    assert "Time zone, such as Europe/Berlin" in shown
    assert "'Mars/Base' is no zone" in shown
    assert b"entries: 15 new" in output
    assert "0 new, 15 there already" in here(installation, "import", str(SAMPLE), "--timezone", "Europe/Berlin").output


def test_a_look_at_what_would_be_stored(installation: Installation) -> None:
    found = dry(installation, str(SAMPLE), "--timezone", "europe/berlin")
    assert (found["dryRun"], found["complete"], found["timezone"], found["unit"]) == (True, True, "Europe/Berlin", "mg/dL")
    entries = found["collections"]["entries"]
    assert (entries["new"], entries["refused"], entries["first"]) == (15, 0, "2021-03-27T22:58:31+01:00")
    assert datetime.fromisoformat(entries["last"]).tzinfo in (timezone(timedelta(hours=1)), timezone(timedelta(hours=2)))
    done = here(installation, "import", str(SAMPLE), "--timezone", "europe/berlin", "--dry-run")
    lines = done.output.splitlines()
    assert lines[0].startswith("entries: 15 documents, from 2021-03-27T22:58:31+01:00 to 2021-03-28T")
    assert lines[-3:] == ["time zone: Europe/Berlin", "unit of glucose: mg/dL", "Nothing was stored."]
    assert not (installation.folder / "apiv3.db").exists()


def test_a_look_at_json(installation: Installation) -> None:
    date = 1_600_087_000_000
    lines = [
        {"app": "x", "date": date},
        {"app": "x", "date": "yesterday"},
        {"_id": "5f5f6a3e9d1c4b0012345678", "created_at": "Invalid date"},
    ]
    (installation.folder / "entries.json").write_text("\n".join(map(json.dumps, lines)))
    found = dry(installation, "entries.json", status=1)
    first = datetime.fromtimestamp(date / 1000, UTC).isoformat(timespec="seconds")
    assert found["collections"] == {"entries": {"new": 2, "duplicate": 0, "refused": 1, "first": first, "last": first}}
    assert (found["timezone"], found["unit"]) == (None, None)
    assert found["refused"] == [{"line": 2, "reason": "Bad or missing date field"}]
    (installation.folder / "weather.json").write_text('{"app":"x"}')
    assert "There is no collection 'weather'" in here(installation, "import", "weather.json", "--dry-run").errors
    assert not (installation.folder / "apiv3.db").exists()
