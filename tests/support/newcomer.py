"""Somebody who does what a page says: its commands, one after the other, which have to print what the page shows."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tests.support.processes import clean_environment, free_port
from tests.support.terminal import Terminal
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
NO_PART_OF_IT = (".*", "__pycache__", "data", "tests")

# What is other each time: tokens, moments, ids, the port that was free; and a long line that the page breaks.
VARYING = {
    r"invitation/first/\S+": "invitation/first/CODE",
    r"\n +": "",
    r"-[0-9a-f]{16}\b": "-TOKEN",
    r"\b\d{13}\b": "MOMENT",
    r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z": "TIME",
    r"\b[0-9a-f]{24}\b": "ID",
    r"(?<=^command:      )[0-9a-f-]{36}\b": "ID",
    r"127\.0\.0\.1:\d+": "ADDRESS",
    r"sqlite:////\S+/data/": "sqlite:////FOLDER/data/",
}


class Block(NamedTuple):
    """A command of a page, and what the page shows as its output."""

    command: str
    outputs: list[str]


def blocks(text: str) -> list[Block]:
    """The commands of a page, or of a part of it."""
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
        """Start the server."""
        terminal.begin(block.command)
        wait_until(self._is_ready, "the server does not answer")
        self._compare(block, terminal.output)

    def do(self, terminal: Terminal, block: Block) -> None:
        """Run a command, which shows at once what the page does."""
        self._compare(block, terminal.run(self._filled_in(block.command)))

    def look(self, terminal: Terminal, block: Block) -> None:
        """Run a command that changes nothing until it shows what the page does: what it shows may be on its way."""
        wait_until(lambda: shows(terminal.run(self._filled_in(block.command)), block), lambda: terminal.output)

    def exported(self, file: str) -> list[dict[str, Any]]:
        """The documents in a file that was exported."""
        return [json.loads(line) for line in (self.folder / file).read_text().splitlines()]

    def _filled_in(self, command: str) -> str:
        """With the tokens and codes that were printed in the place of those that the page shows, and the port."""
        own = re.sub(r"\b(\w+)-0123456789abcdef\b", lambda shown: self._token(shown[1]), command)
        own = re.sub(r"apiv3:1:\.\.\.", lambda _: re.findall(r"apiv3:1:\S+", self.said)[-1], own)
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
        assert shows(output, block), output
        assert block.outputs or not re.search(r'"status":[45]', output), output


def shows(output: str, block: Block) -> bool:
    """Whether an output has everything that the page shows of it."""
    for shown in block.outputs:
        pattern = ".*".join(re.escape(_plain(part)) for part in shown.strip().split("\n..."))
        if not re.search(rf"^{pattern}$", _plain(output).strip(), re.MULTILINE | re.DOTALL):
            return False
    return True


def _plain(text: str) -> str:
    for varying, word in VARYING.items():
        text = re.sub(varying, word, text, flags=re.MULTILINE)
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
