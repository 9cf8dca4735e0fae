"""Another service that follows the Login channel."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from tests.support.live import Stream, Told
from tests.support.server import LiveServer

PATH = "/api/v3/logins/events"
Session = dict[str, Any]


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def apply(sessions: dict[str, Session], told: Told) -> None:
    """Do to the list of a service what an event says. An event may come twice, so each is as good a second time."""
    if told.kind == "snapshot":
        sessions.clear()
        sessions.update({each["session"]: each for each in told.data["sessions"]})
    elif told.kind == "logout":
        sessions.pop(told.data["session"], None)
    else:
        assert told.kind in ("login", "change"), told
        sessions[told.data["session"]] = told.data


class Channel:
    """A service, with the sessions that it has heard of. `last`: the id that it continues after."""

    def __init__(self, server: LiveServer, token: str, last: str = "") -> None:
        headers: Mapping[str, str] = {"Last-Event-ID": last} if last else {}
        self.stream = Stream(server, token, headers=headers, path=PATH)
        assert self.stream.status == 200, self.stream.json()
        self.sessions: dict[str, Session] = {}
        self.heard: list[Told] = []

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stream.close()

    def next(self) -> Told:
        told = self.stream.next()
        apply(self.sessions, told)
        self.heard.append(told)
        return told

    def find(self, secret: str) -> Session | None:
        """The session of a secret that a client presents, among those that were heard of so far."""
        return next((each for each in self.sessions.values() if each["digest"] == digest(secret)), None)

    def login(self, secret: str) -> Session:
        """The session of a secret, once it is heard of."""
        while (found := self.find(secret)) is None:
            self.next()
        return found

    def about(self, session: Session, kind: str) -> Any:
        """The data of the next event of this kind about a session."""
        while (told := self.next()).kind != kind or told.data["session"] != session["session"]:
            pass
        return told.data

    def reason(self, session: Session) -> str:
        """Why a session has ended, once it has."""
        return str(self.about(session, "logout")["reason"])
