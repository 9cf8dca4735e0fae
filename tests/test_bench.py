"""scripts/bench measures what it says that it measures. How fast anything is is not tested: machines differ."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench import pictures
from bench.options import parse
from tests.support.benches import refusal
from tests.support.processes import clean_environment

ROOT = Path(__file__).parents[1]
QUICKEST = ["--seconds", "0.1", "--rounds", "1", "--documents", "500"]
SVG = "{http://www.w3.org/2000/svg}"
SIZES = [25, 250, 2_500]
CEILINGS = ["apiv3", "bare ASGI", "bare SQL"]
EXPECTED = {
    "READ": CEILINGS,
    "SEARCH": CEILINGS,
    "HISTORY": CEILINGS,
    "CREATE": CEILINGS,
    "PUT": CEILINGS,
    "PATCH": CEILINGS,
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


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_only_what_is_asked_for_is_measured_with_one_client_and_with_many(database: str, tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    options = ["--only", "CREATE,PATCH", "--connections", "1,3", "--database", database]
    done = _bench(*QUICKEST, *options, "--json", str(file))
    assert done.returncode == 0, done.stderr
    alone, together = (part for part in done.stdout.split("== ") if part)
    assert "1 connection;" in alone
    assert "3 connections;" in together
    for each in (alone, together):
        assert _servers(f"== {each}") == dict.fromkeys(("CREATE", "PATCH"), CEILINGS)
    measured = {(each["operation"], each["connections"]) for each in json.loads(file.read_text())}
    assert measured == {(name, number) for name in ("CREATE", "PATCH") for number in (1, 3)}


def test_the_page_has_all_tables_and_its_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    done = _bench(*QUICKEST, "--quick", "--largest", "2500", "--database", "sqlite", "--only", "STATUS", "--write", str(folder))
    assert done.returncode == 0, done.stderr
    page = (folder / "benchmarks.md").read_text()
    assert "This run missed" in page
    assert "`scripts/bench --seconds 0.1 --rounds 1 --documents 500 --quick --largest 2500" in page
    assert str(tmp_path) not in page
    assert _growth(page) == {name: ["25", "250", "2,500"] for name in ("READ", "SEARCH", "SEARCH type=sgv", "HISTORY")}
    assert _transfers(page) == [*[("import", size) for size in SIZES], *[("export", size) for size in SIZES], ("bulk", 500)]
    pictures = re.findall(r"!\[.+\]\((.+)\)", page)
    assert pictures == ["benchmarks-growth-sqlite.svg", "benchmarks-rates.svg"]
    assert {each.name for each in folder.iterdir()} == {"benchmarks.md", *pictures}
    growth, rates = (ET.parse(folder / name).getroot() for name in pictures)
    assert [len(each.attrib["points"].split()) for each in growth.iter(f"{SVG}polyline")] == [3, 3, 3, 3]
    assert {"documents in the collection", "median, ms", "2,500", "READ"} <= _texts(growth)
    assert {"documents/s", "import", "export", "bulk"} <= _texts(rates)


def test_the_page_of_the_documentation_is_one_of_these() -> None:
    page = (ROOT / "docs/benchmarks.md").read_text()
    assert set(_growth(page)) == {"READ", "SEARCH", "SEARCH type=sgv", "HISTORY"}
    for name in re.findall(r"!\[.+\]\((.+)\)", page):
        assert ET.parse(ROOT / "docs" / name).getroot().tag == f"{SVG}svg"


@pytest.mark.parametrize("values", [[0.0], [0.004, 0.09], [1.0, 6.0], [999_999.0], [60.0, 61.0]])
def test_an_axis_has_room_for_all_values_and_few_lines(values: list[float]) -> None:
    scale = pictures.Scale.for_values(values)
    assert scale.ticks[0] == 0
    assert scale.ticks[-1] >= max(values)
    assert 2 <= len(scale.ticks) <= 7


def test_a_collection_too_small_to_have_a_hundredth_is_refused() -> None:
    assert "2500 to 10000000" in refusal(parse, "--write", "--largest", "100")


def test_help_says_what_is_measured_and_how_to_read_it() -> None:
    text = _bench("--help").stdout
    assert all(name in text for name in [*EXPECTED, *CEILINGS, "scripts/bench live"])


def test_an_operation_that_is_none_is_refused() -> None:
    assert "WRITE: unknown; there are READ," in refusal(parse, "--only", "READ,WRITE")


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=600, check=False)


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


def _growth(page: str) -> dict[str, list[str]]:
    """Request -> the sizes it was measured at."""
    found: dict[str, list[str]] = {}
    for request, size in re.findall(
        r"^\| ((?:READ|SEARCH|HISTORY) .*?)? ?\| ([\d,]+) \| [\d.]+ \| [\d.]+ \|", page, re.MULTILINE
    ):
        if request:
            name = f"{request.split()[0]}{' type=sgv' if 'type=sgv' in request else ''}"
            found[name] = []
        found[name].append(size)
    return found


def _transfers(page: str) -> list[tuple[str, int]]:
    rows = re.findall(r"^\| (import|export|bulk), \w+ \| ([\d,]+) \| [\d,]+ \|", page, re.MULTILINE)
    return [(name, int(size.replace(",", ""))) for name, size in rows]


def _texts(picture: ET.Element) -> set[str]:
    return {each.text or "" for each in picture.iter(f"{SVG}text")}
