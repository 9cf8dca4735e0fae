"""scripts/bench measures what it says that it measures. How fast anything is is not tested: machines differ."""

import json
import subprocess
import sys
from pathlib import Path

from tests.support.processes import clean_environment

ROOT = Path(__file__).parents[1]
QUICKEST = ["--seconds", "0.1", "--rounds", "1", "--documents", "500"]
CEILINGS = ["apiv3", "bare ASGI", "bare SQL"]
EXPECTED = {
    "READ": CEILINGS,
    "SEARCH": CEILINGS,
    "HISTORY": CEILINGS,
    "CREATE": CEILINGS,
    "STATUS": ["apiv3", "bare ASGI"],
    "SECURITY": ["apiv3", "no security"],
}


def test_every_operation_is_measured_against_its_ceilings(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    done = _bench(*QUICKEST, "--database", "sqlite", "--json", str(file))
    assert done.returncode == 0, done.stderr
    assert _servers(done.stdout) == EXPECTED
    records = json.loads(file.read_text())
    assert [record["operation"] for record in records] == [name for name, servers in EXPECTED.items() for _ in servers]
    assert all(rate > 0 for record in records for rate in record["rates"])


def test_only_what_is_asked_for_is_measured(tmp_path: Path) -> None:
    done = _bench(*QUICKEST, "--database", "sqlite", "--only", "status")
    assert done.returncode == 0, done.stderr
    assert _servers(done.stdout) == {"STATUS": EXPECTED["STATUS"]}


def test_help_says_what_is_measured_and_how_to_read_it() -> None:
    text = _bench("--help").stdout
    assert all(name in text for name in [*EXPECTED, *CEILINGS])


def test_an_operation_that_is_none_is_refused() -> None:
    done = _bench("--only", "READ,WRITE")
    assert done.returncode == 2
    assert "WRITE: unknown; there are READ," in done.stderr


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=120, check=False)


def _servers(table: str) -> dict[str, list[str]]:
    """Operation -> the servers of its rows."""
    found: dict[str, list[str]] = {}
    for line in table.splitlines()[3:]:
        operation, server = line[:9].strip(), line[11:24].strip()
        if operation:
            found[operation] = []
        if server:
            found[list(found)[-1]].append(server)
    return found
