"""The errors that a client of a server can meet."""

from __future__ import annotations

import re

_SECRETS = re.compile(r"[\w.%-]*-[0-9a-fA-F]{16}\b|\beyJ[\w-]+\.[\w-]+\.[\w-]*|(?<=//)[^/@]*@|\?.*|#.*", re.ASCII | re.DOTALL)
"""The parts of a URL that can be secret: an access token or JWT, a user with a password, and everything after the path."""


def shown(url: str) -> str:
    """Return a URL for messages, without the parts that can be secret."""
    return _SECRETS.sub("***", url)


class Refused(Exception):
    """The server refuses the request for good: the token is bad, a permission is missing, or the collection is unknown."""


class Unreachable(Exception):
    """No server of this kind can be reached at the address."""


class NoAnswer(Unreachable):
    """Nothing answers at the address, or the connection was lost. `reason`: the operating system's message."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{shown(url)} cannot be reached: {reason}")
        self.reason = reason


class Untrusted(NoAnswer):
    """The server's certificate is not trusted. Trying again does not help."""


class NoAddress(Unreachable):
    """The text is not the address of a server."""

    def __init__(self, url: str, reason: object) -> None:
        super().__init__(f"{shown(url)!r} is no address of a server: {reason}")


class Stranger(Unreachable):
    """Something else than this server answers, such as the login page of a wireless network."""

    def __init__(self, url: str) -> None:
        super().__init__(f"{shown(url)} answers, but not as this server does.")
        self.url = url


class Silent(Exception):
    """The server has told nothing for too long, so nobody knows who is signed in there. `str` says since when, or why."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"Nobody is let in, because {shown(url)} does not tell who is signed in: {reason}")
