"""The commands that the README and the tutorial print work, one after the other, and print what the page shows."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.support.newcomer import ROOT, Block, Newcomer, blocks
from tests.support.pages import section
from tests.support.processes import demand
from tests.support.terminal import Terminal


@pytest.fixture
def newcomer(tmp_path: Path) -> Newcomer:
    demand("curl")
    return Newcomer(tmp_path)


README = (ROOT / "README.md").read_text()
TUTORIAL = (ROOT / "docs/tutorials/first-app.md").read_text()


def walk_the_first_minute(newcomer: Newcomer, one: Terminal, two: Terminal) -> None:
    start, *_ = blocks(section(README, "Start"))
    serve = Block(start.command.splitlines()[0], [])
    assert serve.command.startswith("scripts/serve ")
    first, *others = blocks(f"```sh\n{serve.command}\n```\n{section(README, 'The first minute')}")
    assert first.outputs
    assert len(others) == 4
    newcomer.serve(one, first)
    for block in others:
        newcomer.do(two, block)


def walk_the_tutorial(newcomer: Newcomer, two: Terminal, three: Terminal) -> None:
    """From its second step on: the server runs."""
    _, *others = blocks(TUTORIAL)
    [place] = [number for number, block in enumerate(others) if block.command.endswith("first_app.py follow\n")]
    [promised] = re.findall(r"the script prints `([^`]+)`", TUTORIAL)
    for block in others[:place]:
        newcomer.do(two, block)
    two.begin(others[place].command)
    newcomer.do(three, others[place + 1])
    two.wait_for(f"{promised}\n")
    two.interrupt()
    for block in others[place + 2 :]:
        newcomer.do(three, block)
    assert two.output.endswith(f"{promised}\n")


def test_the_tutorial(newcomer: Newcomer) -> None:
    serve, *_ = blocks(TUTORIAL)
    with newcomer.terminal("first") as one, newcomer.terminal("second") as two, newcomer.terminal("third") as three:
        newcomer.serve(one, serve)
        walk_the_tutorial(newcomer, two, three)


def test_the_first_minute_and_then_where_it_leads(newcomer: Newcomer) -> None:
    """The first link under "Where to go next", in the same terminals, on the same installation."""
    [first, *_] = re.findall(r"\]\(([^)]+)\)", section(README, "Where to go next"))
    assert first == "docs/tutorials/first-app.md"
    with newcomer.terminal("first") as one, newcomer.terminal("second") as two, newcomer.terminal("third") as three:
        walk_the_first_minute(newcomer, one, two)
        assert len(newcomer.exported("entries.ndjson")) == 25
        assert '"sgv":120' in two.output
        assert "entries: 24 new, 0 there already, 0 refused" in two.output
        walk_the_tutorial(newcomer, two, three)
        two.run(".venv/bin/apiv3 export entries --output entries.ndjson")
    assert Counter(each["device"] for each in newcomer.exported("entries.ndjson")) == {
        "terminal": 1,
        "made-up": 24 + 24,
        "finger": 3,
    }
