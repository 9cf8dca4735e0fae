"""Why a server does not do what a program wants."""

from __future__ import annotations

import re

_SECRETS = re.compile(r"[\w.%-]*-[0-9a-fA-F]{16}\b|\beyJ[\w-]+\.[\w-]+\.[\w-]*|(?<=//)[^/@]*@|\?.*|#.*", re.ASCII | re.DOTALL)
"""What can be a secret in an address: an access token or a JWT, a user with a password, and whatever follows the path."""


def shown(url: str) -> str:
    """An address as messages show it, without what can be a secret."""
    return _SECRETS.sub("***", url)


class Refused(Exception):
    """The server will not have it, now or later: a bad token, a missing permission, an unknown collection."""


class Unreachable(Exception):
    """There is no server, or something else than this server answers."""


class NoAnswer(Unreachable):
    """Nothing answers at the address, or the connection was lost. `reason`: what the system says about it."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{shown(url)} cannot be reached: {reason}")
        self.reason = reason


class Untrusted(NoAnswer):
    """The server's certificate is not one that is trusted. Waiting does not mend that."""


class NoAddress(Unreachable):
    """Nothing that a server could be reached at."""

    def __init__(self, url: str, reason: object) -> None:
        super().__init__(f"{shown(url)!r} is no address of a server: {reason}")


class Stranger(Unreachable):
    """Something answers that is no server of this kind, such as the page on which one logs in to a network."""

    def __init__(self, url: str) -> None:
        super().__init__(f"{shown(url)} answers, but not as this server does.")
        self.url = url
