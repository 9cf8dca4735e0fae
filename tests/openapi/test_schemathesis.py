"""Schemathesis asks a real server what its description promises, and finds nothing."""

import re
import subprocess
import sys
from pathlib import Path

from tests.support.factories import FreshServer
from tests.support.processes import clean_environment
from tests.support.server import LiveServer

HERE = Path(__file__).parent
PATIENCE = 1800.0
"""Seconds after which it surely hangs, however busy the machine is."""

SMALL = {"API3_MAX_BULK": "20"}
"""So that the most documents, and one more, are soon made."""


ENDLESS = ("/api/v3/events", "/api/v3/logins/events")
"""Answers that never end cannot be waited for; tests/web/test_events.py and tests/logins ask for them."""


CLIENTS = "/api/v2/authorization/clients"
"""Left out of the chains: with these operations, none of the few chains that it makes gets beyond its beginning."""


def run(server: LiveServer, folder: Path, phases: str, *options: str) -> str:
    """What schemathesis says. Its exit status is 0 when it found nothing."""
    environment = clean_environment() | {
        "SCHEMATHESIS_TOKEN": server.jwt(server.subject(f"schemathesis {phases}", "*")),
        "SCHEMATHESIS_HOOKS": str(HERE / "hooks.py"),
        "NO_COLOR": "1",
    }
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run"]
    done = subprocess.run(
        [
            *command,
            f"{server.url}/api/v3/openapi.json",
            "--phases",
            phases,
            *(word for path in ENDLESS for word in ("--exclude-path", path)),
            *options,
        ],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def operations(server: LiveServer) -> int:
    document = server.client().get("/api/v3/openapi.json").json()
    return sum(len(path) for path in document["paths"].values())


def check(said: str, at_least: int) -> None:
    """Something was asked, and all of it was answered well."""
    [counts] = re.findall(r"(\d+) generated, (\d+) passed", said)
    assert int(counts[0]) == int(counts[1]) >= at_least, said


def test_every_operation_with_every_boundary(fresh_server: FreshServer, tmp_path: Path) -> None:
    """On one database: what lies within the bounds of a parameter is decided before any database is asked."""
    server = fresh_server("sqlite", env=SMALL)
    said = run(server, tmp_path, "examples,coverage")
    asked = operations(server) - 3  # the endless ones, and the one that it got the description from
    assert f"Tested: {asked}\n" in said
    check(said, 20 * asked)
    assert "Internal error" not in server.output


def test_every_operation_with_made_up_data_and_chains_of_them(fresh_server: FreshServer, tmp_path: Path) -> None:
    """On PostgreSQL, which refuses more values than SQLite does."""
    server = fresh_server("postgres", env=SMALL)
    check(run(server, tmp_path, "fuzzing"), 100)
    said = run(server, tmp_path, "stateful", "--exclude-path-regex", f"^{CLIENTS}")
    check(said, 50)
    [covered] = re.findall(r"(\d+) covered", said)
    assert int(covered) > 0, said
