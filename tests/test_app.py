"""The wiring: what a server does from its start to its end."""

import asyncio
from pathlib import Path

import pytest

from apiv3.app import Server
from apiv3.installation import Installation
from apiv3.live.workers import FOLDER
from apiv3.provisioning import provision
from apiv3.settings import load
from apiv3.storage import schema


async def test_a_start_that_fails_leaves_nothing_going_on(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work in the background would go on without its database, and complain about it."""
    await asyncio.to_thread(schema.upgrade, database_url)
    monkeypatch.setenv(FOLDER, str(tmp_path / "there is no such folder"))
    server = Server(Installation(provision(load(apiv3_data=tmp_path, database_url=database_url))))
    with pytest.raises(FileNotFoundError):
        async with server.running():
            raise AssertionError("never")
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
