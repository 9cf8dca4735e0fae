"""The commands that the README and the tutorial print work, one after the other, and print what the page shows."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.support.pages import section
from tests.support.processes import clean_environment, demand, free_port
from tests.support.terminal import Terminal
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[1]
NO_PART_OF_IT = (".*", "__pycache__", "data", "tests")

# What is other each time: tokens, moments in ms, ids, the port that was free; and a long line that the page breaks.
VARYING = {
    r"invitation/first/\S+": "invitation/first/CODE",
    r"\n +": "",
    r"-[0-9a-f]{16}\b": "-TOKEN",
    r"\b\d{13}\b": "MOMENT",
    r"\b[0-9a-f]{24}\b": "ID",
    r"127\.0\.0\.1:\d+": "ADDRESS",
    r"sqlite:////\S+/data/": "sqlite:////FOLDER/data/",
}


class Block(NamedTuple):
    """A command of a page, and what the page shows as its output."""

    command: str
    outputs: list[str]


def blocks(text: str) -> list[Block]:
    found: list[Block] = []
    for kind, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if kind == "sh":
            found.append(Block(body, []))
        else:
            found[-1].outputs.append(body)
    return found


class Newcomer:
    """Somebody with a fresh checkout and a few terminals, who does what a page says and puts in his own values."""

    def __init__(self, home: Path) -> None:
        self.home, self.folder = home, _checkout(home)
        self.port = free_port()
        # A server that does not know a token yet should not slow down the one who asks whether it does by now.
        self._environment = {"PORT": str(self.port), "AUTH_FAIL_DELAY": "0"}
        self.said = ""

    def terminal(self, name: str) -> Terminal:
        return Terminal(self.home, name, self.folder, **self._environment)

    def serve(self, terminal: Terminal, block: Block) -> None:
        terminal.begin(block.command)
        wait_until(self._is_ready, "the server does not answer")
        self._compare(block, terminal.output)

    def do(self, terminal: Terminal, block: Block) -> None:
        self._compare(block, terminal.run(self._filled_in(block.command)))

    def entries(self) -> list[dict[str, Any]]:
        """What was exported last."""
        return [json.loads(line) for line in (self.folder / "entries.ndjson").read_text().splitlines()]

    def _filled_in(self, command: str) -> str:
        """With the tokens that were printed in the place of those that the page shows, and the port."""
        own = re.sub(r"\b(\w+)-0123456789abcdef\b", lambda shown: self._token(shown[1]), command)
        return own.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")

    def _token(self, name: str) -> str:
        token = str(re.findall(rf"\b{name}-[0-9a-f]{{16}}\b", self.said)[-1])
        wait_until(lambda: self._ask(f"/api/v2/authorization/request/{token}").is_success, f"{name}'s token is not known")
        return token

    def _is_ready(self) -> bool:
        try:
            return self._ask("/api/v3/version").is_success
        except httpx.TransportError:
            return False

    def _ask(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", trust_env=False, verify=False)

    def _compare(self, block: Block, output: str) -> None:
        self.said += output
        for shown in block.outputs:
            pattern = ".*".join(re.escape(_plain(part)) for part in shown.strip().split("\n..."))
            assert re.search(rf"^{pattern}$", _plain(output).strip(), re.MULTILINE | re.DOTALL), output
        assert block.outputs or not re.search(r'"status":[45]', output), output


def _plain(text: str) -> str:
    for varying, word in VARYING.items():
        text = re.sub(varying, word, text)
    return text


def _checkout(home: Path) -> Path:
    """A copy of this checkout, as if `scripts/install` had just run in it."""
    folder = home / "checkout"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*NO_PART_OF_IT))
    (folder / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (folder / ".venv" / name).symlink_to(Path(sys.prefix) / name)
    state = "pwd -P; .venv/bin/python --version; cksum pyproject.toml constraints.txt; echo plain"
    installed = subprocess.run(
        ["bash", "-c", state], cwd=folder, env=clean_environment(), capture_output=True, text=True, check=True
    )
    (folder / ".venv/installed").write_text(installed.stdout)
    return folder


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
        assert len(newcomer.entries()) == 25
        assert '"sgv":120' in two.output
        assert "entries: 24 new, 0 there already, 0 refused" in two.output
        walk_the_tutorial(newcomer, two, three)
        two.run(".venv/bin/apiv3 export entries --output entries.ndjson")
    assert Counter(each["device"] for each in newcomer.entries()) == {"terminal": 1, "made-up": 24 + 24, "finger": 3}
