"""A weather station: it sends made-up weather, warns of frost, and measures as often as it is told to.

.venv/bin/python docs/tutorials/weather_station.py pair apiv3:1:...
.venv/bin/python docs/tutorials/weather_station.py run
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from apiv3.client.devices import Command, CommandRejected, Device, FolderInUse, NotEnrolled, enrol
from apiv3.client.errors import Refused, Unreachable

FOLDER = Path("station")  # the private key, which hub the station belongs to, and what it has not sent yet
SOFTWARE = "weather-station/1.0"


def temperature(number: int) -> float:
    """The temperature in degrees Celsius, which a real station would measure. It is below zero from the sixth reading on."""
    return round(2 + 4 * math.cos(number / 2), 1)


class Station:
    """What the station does. `interval`: the seconds between two readings."""

    def __init__(self) -> None:
        self.interval = 2
        self._told = asyncio.Event()

    async def run(self) -> None:
        """Send readings until Ctrl-C."""
        async with Device.open(
            FOLDER, SOFTWARE, on_command=self.do, on_update=self.hear_of_update, on_status=self.tell_status
        ) as device:
            await device.connected()
            device.log("info", "The station has started")
            for number in count():
                await self.measure(device, number)
                await self.pause()

    async def measure(self, device: Device, number: int) -> None:
        """Send a reading; and an alarm if frost begins with it, and the new state if it begins or ends."""
        now, before = temperature(number), temperature(max(0, number - 1))
        reading = {"app": "weather-station", "device": "station", "date": device.now(), "temperature": now}
        await device.send("weather", [reading])
        say(f"{now} °C")
        if now < 0 <= before:
            await device.alarm("frost", "warning", "Frost", f"It is {now} °C")
            say("frost")
        if (now < 0) != (before < 0):
            await device.state("frost", now < 0)

    async def pause(self) -> None:
        """Wait for the next reading, which is due at once when the interval changes."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._told.wait(), self.interval)
        self._told.clear()

    async def do(self, command: Command) -> object:
        """Do a command of the hub, and return its output."""
        match command.name, command.arguments:
            case "interval", {"seconds": int(seconds)} if 1 <= seconds <= 3600:
                self.interval = seconds
                self._told.set()
                return f"a reading every {seconds} s"
        raise CommandRejected('this station knows interval {"seconds": 1 to 3600} alone')

    async def hear_of_update(self, offer: Mapping[str, Any]) -> None:
        """Say what is offered; a station with Debian would install it, see docs/how-to/update-devices.md."""
        say(f"offered: {offer['package']} {offer['version']}")

    def tell_status(self, status: str, reason: str) -> None:
        """Say how the connection is, and why."""
        say(f"{status}: {reason}" if reason else status)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(words: list[str]) -> None:
    """Do what the words say. Ends the program with a sentence if that is not possible."""
    try:
        match words:
            case ["pair", code]:
                say(f"This is the device {asyncio.run(enrol(FOLDER, code))} now.")
            case ["run"]:
                with suppress(KeyboardInterrupt):
                    asyncio.run(Station().run())
            case _:
                sys.exit("Say what to do: weather_station.py pair CODE, or weather_station.py run")
    except NotEnrolled:
        sys.exit("The station has no key yet: weather_station.py pair CODE, with the code that `apiv3 device add` prints.")
    except (FolderInUse, Refused, Unreachable) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
