"""Recorded requests get the answers that servers of the field give."""

from pathlib import Path

import pytest

from tests.support.factories import FreshServer
from tests.support.replay import differences

RECORDINGS = Path(__file__).parents[1] / "data/conformance"


@pytest.mark.parametrize("recording", ["cases-1", "cases-2", "cases-3", "story"])
def test_a_recording(fresh_server: FreshServer, database: str, recording: str) -> None:
    server = fresh_server(database)
    assert differences(server, RECORDINGS / f"{recording}.jsonl") == []
