"""scripts/bench oauth: tokens are measured with and without expired ones beside them, which are deleted at the end."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import clean_environment

ROOT = Path(__file__).parents[1]
FEW = ["--tokens", "2500", "--seconds", "0.1", "--rounds", "1"]
JUDGED = r"\d+\.\d\d \(\d+\.\d\d-\d+\.\d\d\) +<= 1\.1 +(?:yes|NO)$"


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_every_aim_is_measured_and_written_to_the_page(database: str, tmp_path: Path) -> None:
    done = _bench(*FEW, "--database", database, "--write", str(tmp_path))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "benchmarks-oauth.md").read_text()
    assert "`scripts/bench oauth --tokens 2500 --seconds 0.1 --rounds 1 --database postgres --write`" in page
    assert re.search(rf"^by access token .* {JUDGED}", page, re.MULTILINE), page
    assert len(re.findall(rf"^2,500 expired ones .* {JUDGED}", page, re.MULTILINE)) == 2, page
    assert re.search(r"^PRUNING 2,5\d\d tokens: [\d.]+ s, [\d,]+ a second; the longest transaction", page, re.MULTILINE), page


def test_options_out_of_bounds_are_refused_and_help_says_what_is_measured() -> None:
    done = _bench("--tokens", "0")
    assert done.returncode == 2
    assert "1 to 10000000" in done.stderr.replace(",", "")
    text = _bench("--help").stdout
    assert all(name in text for name in ("READ", "TOKEN", "INTROSPECT", "PRUNING", "CPU is", "time is", "reached"))


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", "oauth", *arguments]
    return subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=600, check=False)
