"""/alarm: who hears alarms, and who may silence them."""

from typing import Any

import pytest

from tests.support.engineio import socket
from tests.support.server import LiveServer
from tests.support.wire import unique

HEARS = {"success": True, "message": "Subscribed for alarms"}
BAD = {"success": False, "message": "Bad acknowledgement: it must be a level, a group, and ms of silence, up to a day"}


def test_who_may_read_entries_hears_alarms(live: LiveServer) -> None:
    token = live.subject(unique("parent"), "api:entries:read")
    for secret in (token, live.jwt(token)):
        with socket(live) as client:
            assert client.subscribe(secret, "/alarm") == HEARS


def test_nobody_else_does(live: LiveServer) -> None:
    token = live.subject(unique("stranger"), "api:treatments:read")
    with socket(live) as client:
        assert client.subscribe(token, "/alarm") == {"success": False, "message": "Unauthorized to receive alarms"}
        assert client.emit("/alarm", "subscribe", {})["message"] == "Missing or bad accessToken"
        assert client.emit("/alarm", "subscribe")["message"].startswith("Bad subscription")


@pytest.mark.parametrize("arguments", [[], [1], [1, "default"], ["1", "default", 0], [1, "default", -1], [1, "default", 10**9]])
def test_a_bad_acknowledgement_is_refused(live: LiveServer, reader: str, arguments: list[Any]) -> None:
    with socket(live) as client:
        client.subscribe(reader, "/alarm")
        assert client.emit("/alarm", "ack", *arguments) == BAD


def test_silencing_needs_a_permission(live: LiveServer, reader: str) -> None:
    listener = live.subject(unique("listener"), "api:entries:read")
    with socket(live) as client:
        assert client.enter("/alarm").emit("/alarm", "ack", 1, "default", 0)["message"] == "Not subscribed"
        client.emit("/alarm", "subscribe", {"accessToken": listener})
        refusal = {"success": False, "message": "Missing permission notifications:*:ack"}
        assert client.emit("/alarm", "ack", 1, "default", 0) == refusal
        client.emit("/alarm", "subscribe", {"accessToken": reader})
        answer = client.emit("/alarm", "ack", 1, "default", 0)
        assert answer == {"success": False, "message": "There is no such alarm"}  # nothing raises any yet


def test_who_loses_the_right_is_put_out(live: LiveServer) -> None:
    token = live.subject(unique("parent"), "api:entries:read")
    with socket(live) as client:
        client.subscribe(token, "/alarm")
        [subject] = [each for each in live.admin("GET", "/subjects") if each["accessToken"] == token]
        live.admin("DELETE", f"/subjects/{subject['_id']}")
        assert client.receive() == "41/alarm,"
