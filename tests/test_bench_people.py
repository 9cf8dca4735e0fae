"""scripts/bench people: every credential, sign-in and page is measured, and held against its aim."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.people.command import PART
from tests.support.benches import help_text, refusal
from tests.support.processes import clean_environment

ROOT = Path(__file__).parents[1]
FEW = ["--people", "2", "--subjects", "60", "--seconds", "0.1", "--rounds", "1"]
AIM = r"(?:<=?) [\d.]+ +(?:yes|NO)$"
RATIO = r"\d+\.\d\d \(\d+\.\d\d-\d+\.\d\d\)"


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_every_aim_is_measured_and_written_to_the_page(database: str, tmp_path: Path) -> None:
    done = _bench(*FEW, "--database", database, "--write", str(tmp_path))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "benchmarks-people.md").read_text()
    assert "`scripts/bench people --people 2 --subjects 60 --seconds 0.1 --rounds 1" in page
    assert str(tmp_path) not in page
    for name in ("by session", "by user token", "2 people sign in"):
        assert re.search(rf"^{name} .* {RATIO} +{AIM}", page, re.MULTILINE), page
    for name in ("/, 288 entries", "/admin/subjects, 60 subjects"):
        assert re.search(rf"^{name} +[\d.,]+ .* {AIM}", page, re.MULTILINE), page
    [signed_in] = re.findall(r"^(\d+) sign-ins, median [\d.]+ s; 0 refused", page, re.MULTILINE)
    assert int(signed_in) >= 2


def test_options_out_of_bounds_are_refused_and_help_says_what_is_measured() -> None:
    assert "1 to 200" in refusal(PART.parse, "--people", "0")
    text = help_text(PART.parse)
    assert all(name in text for name in ("READ", "SIGN-INS", "PAGES", "CPU is", "reached"))


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", "people", *arguments]
    return subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=600, check=False)
