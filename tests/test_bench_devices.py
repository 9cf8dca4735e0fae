"""scripts/bench devices: handshakes, memory, messages and revocations are measured, and held against their aims."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.devices.command import PART
from tests.support.benches import help_text, refusal
from tests.support.processes import clean_environment

ROOT = Path(__file__).parents[1]
FEW = ["--devices", "12", "--revoked", "1", "--seconds", "0.1", "--rounds", "1"]


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_every_aim_is_measured_and_written_to_the_page(database: str, tmp_path: Path) -> None:
    done = _bench(*FEW, "--database", database, "--write", str(tmp_path))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "benchmarks-devices.md").read_text()
    assert "`scripts/bench devices --devices 12 --revoked 1 --seconds 0.1 --rounds 1" in page
    assert str(tmp_path) not in page
    for name in ("1 document", "10 documents", "100 documents"):
        assert re.search(rf"^{name} .* \d+\.\d\d \(\d+\.\d\d-\d+\.\d\d\) +>= 0\.7 +(?:yes|NO)$", page, re.MULTILINE), page
    for name in ("same process", "another process"):
        assert re.search(rf"^{name} +[\d,]+ +[\d,]+ +<= 1,000 +(?:yes|NO)$", page, re.MULTILINE), page
    assert re.search(r"^HANDSHAKES \d+ a second; p50 [\d,]+ ms, p95 [\d,]+ ms$", page, re.MULTILINE), page
    assert re.search(r"^MEMORY of 12 devices, -?[\d.]+ KB each; aim <= 40, reached: (?:yes|NO)$", page, re.MULTILINE), page


def test_options_out_of_bounds_are_refused_and_help_says_what_is_measured() -> None:
    assert "1 to 10000" in refusal(PART.parse, "--devices", "0")
    text = help_text(PART.parse)
    assert all(name in text for name in ("HANDSHAKES", "MEMORY", "MESSAGES", "REVOCATION", "speed is", "reached"))


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", "devices", *arguments]
    return subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=600, check=False)
