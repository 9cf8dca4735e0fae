"""`apiv3 device simulate`: be a device that sends the readings of a file as if they were being measured now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from apiv3 import __version__
from apiv3.client.devices import Device, FolderInUse, NotEnrolled, SetAside, Status, enrol
from apiv3.client.errors import Refused
from apiv3.files import reading
from apiv3.files.records import Malformed
from apiv3.model.documents import Document
from apiv3.model.errors import ApiError

APP = "apiv3 device simulate"
HOUR = 3_600_000
_UNENROLLED = (
    "There is no device in {} yet. Add one where the server is, by `apiv3 device add demo --role writer`, "
    "and give the pairing code that it prints as --code."
)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--code", help="A pairing code, for the first time; `apiv3 device add` prints one.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("simulated-device"),
    show_default=True,
    help="Where the device keeps its key and what it has not sent yet.",
)
@click.option(
    "--hours",
    type=click.FloatRange(min=0),
    default=6,
    show_default=True,
    help="How many hours come one reading after the other; all readings before them come at once.",
)
@click.option(
    "--speed",
    type=click.FloatRange(min=1),
    default=360,
    show_default=True,
    help="How many times faster than in life the readings come: 360 is an hour in ten seconds, 1 is real time.",
)
def simulate(file: Path, code: str | None, folder: Path, hours: float, speed: float) -> None:
    """Be a device that sends the glucose readings in FILE, a Dexcom Clarity export or JSON documents of entries.

    The times are moved so that the last reading is measured when it is sent: with the defaults, the front page of the server
    is full at once, and shows six more hours within a minute.

    \b
    apiv3 device add demo --role writer
    apiv3 device simulate clarity.csv --code apiv3:1:...
    apiv3 device simulate clarity.csv --speed 1
    """
    readings = _readings(file)
    try:
        asyncio.run(_simulate(readings, code, folder, hours, speed))
    except NotEnrolled:
        raise click.ClickException(_UNENROLLED.format(folder)) from None
    except FolderInUse as error:
        raise click.ClickException(str(error)) from None


def _readings(file: Path) -> Sequence[Document]:
    """Return the readings in a file, the oldest first. Raises ClickException."""
    try:
        with file.open("rb") as source:
            documents = [row.item for row in reading.read(source, UTC, "entries") if row.collection == "entries"]
    except (Malformed, OSError) as error:
        raise click.ClickException(f"{file} cannot be read: {error}.") from error
    found = [each for each in documents if not isinstance(each, ApiError) and _is_reading(each)]
    if not found:
        raise click.ClickException(f"{file} has no glucose readings.")
    return sorted(found, key=lambda document: int(document["date"]))


def _is_reading(document: Document) -> bool:
    return isinstance(document.get("date"), int) and isinstance(document.get("sgv"), int | float)


async def _simulate(readings: Sequence[Document], code: str | None, folder: Path, hours: float, speed: float) -> None:
    """Send the readings. Raises Refused, Unreachable, NotEnrolled, FolderInUse."""
    if code:
        await enrol(folder, code)
    rejected: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def tell(status: Status, reason: str) -> None:
        if status == "rejected" and not rejected.done():
            rejected.set_result(reason)
        elif status != "connected":
            click.echo(f"apiv3 device simulate: {reason}; trying again", err=True)

    software = f"apiv3-simulate/{__version__}"
    async with Device.open(folder, software, on_status=tell, on_set_aside=_tell_refusal) as device:
        sending = asyncio.create_task(_send(device, readings, hours * HOUR, speed))
        both: list[asyncio.Future[Any]] = [sending, rejected]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not sending.done():
            sending.cancel()
            raise Refused(f"The hub does not know the device in {folder}: it was revoked, or removed. Pair it again.")
        sending.result()


async def _send(device: Device, readings: Sequence[Document], live: float, speed: float) -> None:
    """Send the readings: those of the last `live` ms one after the other, and the others at once."""
    await device.connected()
    last = readings[-1]["date"]
    before = [each for each in readings if last - each["date"] > live]
    coming = readings[len(before) :]
    end = device.now() + round((last - coming[0]["date"]) / speed)
    moved = [_moved(each, end - last) for each in readings]
    if before:
        await device.send("entries", moved[: len(before)])
        await device.drained()
        click.echo(f"{len(before)} readings of the time before were sent")
    for each in moved[len(before) :]:
        due = end - (end - each["date"]) / speed
        await asyncio.sleep(max(0, due - device.now()) / 1000)
        await device.send("entries", [each])
        click.echo(f"{datetime.fromtimestamp(each['date'] / 1000, UTC).astimezone():%d %b %H:%M}  {each['sgv']} mg/dL")
    await device.drained()


def _moved(document: Document, by: int) -> dict[str, Any]:
    """Return a reading as it is sent: at another time, and by this device. It is another document with each run."""
    kept = {name: value for name, value in document.items() if name in ("type", "sgv", "units", "utcOffset")}
    return {"type": "sgv", **kept, "date": document["date"] + by, "app": APP, "device": "simulated"}


def _tell_refusal(aside: SetAside) -> None:
    click.echo(f"The server refuses a reading: {aside.status} {aside.message}", err=True)
