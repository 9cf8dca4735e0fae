"""Be a device of a hub: `enrol` once with a pairing code, then `Device.open`.

    await enrol(Path("station"), "apiv3:1:...", "station/1.0")
    async with Device.open(Path("station"), "station/1.0") as device:
        await device.send("entries", [{"type": "sgv", "sgv": 105, "date": device.now(), "app": "station"}])

What is sent is on disk before `send` returns, and goes to the hub in order, once, whenever there is a connection.
"""

from apiv3.client.devices.commands import Command, CommandRejected
from apiv3.client.devices.device import Device
from apiv3.client.devices.enrolment import enrol
from apiv3.client.devices.errors import BufferFull, FolderInUse, NotEnrolled, TooLong
from apiv3.client.devices.messages import SetAside
from apiv3.client.devices.uplink import Status

__all__ = [
    "BufferFull",
    "Command",
    "CommandRejected",
    "Device",
    "FolderInUse",
    "NotEnrolled",
    "SetAside",
    "Status",
    "TooLong",
    "enrol",
]
