"""Why a server does not do what a program wants."""

from __future__ import annotations


class Refused(Exception):
    """The server will not have it, now or later: a bad token, a missing permission, an unknown collection."""


class Unreachable(Exception):
    """There is no server, or something else than this server answers."""
