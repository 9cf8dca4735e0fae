"""The tutorial of the weather station: every command works, prints what the page shows, and no reading is lost."""

import re
import shutil
from contextlib import ExitStack
from pathlib import Path

from tests.support.needs import do_without
from tests.support.newcomer import ROOT, Block, Newcomer, blocks, shows
from tests.support.waiting import wait_until

PAGE = (ROOT / "docs/tutorials/weather-station.md").read_text()
INSTALL = ".venv/bin/pip install"


class Walk:
    """Somebody who goes through the page with three terminals: for the server, for commands, for the station."""

    def __init__(self, newcomer: Newcomer, terminals: ExitStack) -> None:
        self._newcomer = newcomer
        self._server, self._commands, self._station = (
            terminals.enter_context(newcomer.terminal(name)) for name in ("first", "second", "third")
        )
        self._is_served = False

    def go(self) -> None:
        """Do each block, and wait for what the station prints by the next one."""
        for part in re.split(r"^(?=```sh$)", PAGE, flags=re.MULTILINE)[1:]:
            [block] = blocks(part)
            self._do(block)
            for promised in re.findall(r"the station\s+prints\s+`([^`]+)`", part, re.IGNORECASE):
                self._station.wait_for(f"{promised}\n")

    @property
    def readings(self) -> list[float]:
        """What the station has measured."""
        return [float(reading) for reading in re.findall(r"^(\S+) °C$", self._station.output, re.MULTILINE)]

    def _do(self, block: Block) -> None:
        """In the terminal that it is for, once the station has come back if it was about to. What tests need is installed."""
        wait_until(lambda: self._status() != "lost")
        if block.command.endswith("scripts/serve\n"):
            self._serve(block)
        elif block.command.startswith(".venv/bin/python "):
            self._be_station(block)
        elif not block.command.startswith(INSTALL):
            self._command(block)

    def _serve(self, block: Block) -> None:
        """The second time, the server is away until the station has measured without it."""
        if self._is_served:
            self._server.interrupt()
            wait_until(lambda: self._status() == "lost")
            before = len(self.readings)
            wait_until(lambda: len(self.readings) > before + 2)
        self._newcomer.serve(self._server, block)
        self._is_served = True

    def _be_station(self, block: Block) -> None:
        if not block.command.endswith(" run\n"):
            self._newcomer.do(self._station, block)
            return
        self._station.begin(block.command)
        wait_until(lambda: shows(self._station.output, block), lambda: self._station.output)

    def _command(self, block: Block) -> None:
        if re.match(r"\S+ (device show|export) ", block.command):
            self._newcomer.look(self._commands, block)
            return
        if " device remove " in block.command:
            self._station.interrupt()
        self._newcomer.do(self._commands, block)

    def _status(self) -> str:
        """What the station has printed last of its connection."""
        said = re.findall(r"^(connected|lost|rejected)\b", self._station.output, re.MULTILINE)
        return said[-1] if said else ""

    def exported(self) -> list[float]:
        """What the server has stored, in order."""
        self._commands.run(".venv/bin/apiv3 export weather --output weather.ndjson")
        stored = sorted(self._newcomer.exported("weather.ndjson"), key=lambda reading: int(reading["date"]))
        return [reading["temperature"] for reading in stored]


def test_the_weather_station(tmp_path: Path) -> None:
    """Each reading until the station was revoked is stored once, also those that it has taken without a server."""
    if shutil.which("dpkg-deb") is None:
        do_without("apt", "no dpkg-deb: only Debian and its kin have it")
    with ExitStack() as terminals:
        walk = Walk(Newcomer(tmp_path), terminals)
        walk.go()
        stored = walk.exported()
        assert len(stored) >= 9  # six until the frost, three without a server
        assert stored == walk.readings[: len(stored)]
