"""scripts/bench live: everybody is told of everything, and it is noticed when that is not so."""

import re
import subprocess
import sys
from array import array
from pathlib import Path

import pytest

from bench.live.delivery import Told, fault, judge
from bench.live.options import parse
from tests.support.benches import help_text, refusal
from tests.support.processes import clean_environment

ROOT = Path(__file__).parents[1]
FEW = ["live", "--subscribers", "5", "--rate", "10", "--seconds", "1", "--rounds", "1"]
FORGETFUL = """\
import sys
from array import array
from bench.__main__ import main
from bench.live import measure

class OneMore(measure._Place):
    def stored(self, since):
        return array("q", [since]) + super().stored(since)

measure._Place = OneMore
measure.PATIENCE = 0.2
sys.exit(main())
"""
"""The bench, which believes that one more change was stored than the server tells of."""


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_every_subscriber_is_told_of_every_change(database: str, tmp_path: Path) -> None:
    done = _bench("-m", "bench", *FEW, "--database", database, "--write", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "50 of 50 told, in order, once" in done.stdout
    page = (tmp_path / "benchmarks-live.md").read_text()
    assert "`scripts/bench live --subscribers 5 --rate 10 --seconds 1" in page
    assert str(tmp_path) not in page
    for name in ("commit at most", "5 subscribed", "nobody", "to treatments", "to entries"):
        assert re.search(rf"^{name} +[\d.,]+", page, re.MULTILINE), page
    [told, due] = re.findall(r"^to entries .* ([\d,]+) of ([\d,]+) +0 of 5 ", page, re.MULTILINE)[0]
    assert told == due != "0"


def test_a_change_that_nobody_is_told_of_fails_the_run() -> None:
    done = _bench("-c", FORGETFUL, *FEW, "--database", "sqlite")
    assert done.returncode == 1, done.stderr
    assert "sqlite: not told as it must be: subscriber 0: of 11 changes 1 lost" in done.stderr
    assert "NOT AS IT MUST BE" in done.stdout


@pytest.mark.parametrize(
    ("told", "whole", "expected"),
    [
        ([1, 2, 3, 4], True, ""),
        ([1, 2, 3], True, "of 4 changes 1 lost"),
        ([], True, "of 4 changes 4 lost"),
        ([1, 2, 2, 3, 4], True, "of 4 changes 1 twice or more"),
        ([1, 3, 2, 4], True, "of 4 changes 1 out of order"),
        ([1, 2, 3, 4, 9], True, "of 4 changes 1 never stored"),
        ([1, 2, 3], False, ""),
        ([], False, ""),
        ([1, 3], False, "of 4 changes 1 lost"),
        ([2], False, "of 4 changes 1 lost"),
    ],
)
def test_what_is_wrong_with_what_one_was_told_is_said(told: list[int], whole: bool, expected: str) -> None:
    assert fault(Told(array("q", told), whole), array("q", [1, 2, 3, 4])) == expected


def test_only_the_first_of_many_faults_are_shown() -> None:
    nothing = Told(array("q"), whole=True)
    assert judge([nothing] * 10, array("q", [1]))[2:] == ("subscriber 2: of 1 changes 1 lost", "and 7 more subscribers")


def test_too_few_open_files_are_said_before_anything_is_started() -> None:
    command = 'ulimit -n 256; exec "$0" -m bench live --subscribers 1000'
    done = subprocess.run(
        ["/bin/sh", "-c", command, sys.executable],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "1,000 subscribers need 2,200 open files, and the system allows 256: raise" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--subscribers", "0"], "1 to 20000"),
        (["--rate", "0"], "0.1 to 1000"),
        (["--seconds", "601"], "0.01 to 600"),
        (["--rounds", "0"], "1 to 1000"),
        (["--rounds", "few"], "invalid int value: 'few'"),
        (["--database", "postgresql"], "invalid choice: 'postgresql'"),
    ],
)
def test_options_out_of_bounds_are_refused(arguments: list[str], message: str) -> None:
    assert message in refusal(parse, *arguments)


def test_help_says_what_is_measured_and_how_to_read_it() -> None:
    text = help_text(parse)
    assert all(name in text for name in ("TOLD", "MEMORY", "WRITING", "commit at most", "let go", "written are"))


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return _run(sys.executable, *arguments)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=600, check=False)
