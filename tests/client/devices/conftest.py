"""A hub and a device for the tests here."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.hub import FakeHub, fake_hub, hasten


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeHub]:
    """A hub whose devices come back at once."""
    hasten(monkeypatch, 0.01)
    async with fake_hub() as hub:
        yield hub


@pytest.fixture
def folder(hub: FakeHub, tmp_path: Path) -> Path:
    """The folder of a device that is enrolled at the hub."""
    return hub.enrol(tmp_path / "device").path
