"""Why a server does not do what a program wants."""

from __future__ import annotations


class Refused(Exception):
    """The server will not have it, now or later: a bad token, a missing permission, an unknown collection."""


class Unreachable(Exception):
    """There is no server, or something else than this server answers."""


class NoAnswer(Unreachable):
    """Nothing answers at the address, or the connection was lost. `reason`: what the system says about it."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url} cannot be reached: {reason}")
        self.reason = reason


class Untrusted(NoAnswer):
    """The server's certificate is not one that is trusted. Waiting does not mend that."""


class NoAddress(Unreachable):
    """Nothing that a server could be reached at."""

    def __init__(self, url: str, reason: object) -> None:
        super().__init__(f"{url!r} is no address of a server: {reason}")


class Stranger(Unreachable):
    """Something answers that is no server of this kind, such as the page on which one logs in to a network."""

    def __init__(self, url: str) -> None:
        super().__init__(f"{url} answers, but not as this server does.")
        self.url = url
