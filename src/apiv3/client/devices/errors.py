"""What can be wrong with a device's folder and with what it is to send."""

from __future__ import annotations

from pathlib import Path


class NotEnrolled(Exception):
    """There is no device in the folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"There is no device in {folder}: enrol it there with a pairing code.")


class FolderInUse(Exception):
    """Another program is this device already. Two of them would send everything twice."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"Another program uses {folder}: end it first.")


class BufferFull(Exception):
    """So much waits to be sent that no more is kept. Nothing of the call was kept."""


class TooLong(ValueError):
    """One document, or one message, is longer than a message may be."""
