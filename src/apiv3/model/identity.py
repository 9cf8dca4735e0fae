"""Subjects, which may call the API, and their roles."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

_ID = re.compile(r"[0-9a-f]{24}", re.ASCII)
LONGEST_NAME = 200
MOST_GROUPS, LONGEST_GROUP = 50, 100
"""Most groups, and most organisational units, of a subject; most characters of each."""

Timestamp = Literal["required", "optional"]
"""Whether calls must carry the client's time. If it is optional, it is still checked when it is sent."""


def is_object_id(text: object) -> bool:
    """Whether `text` is an object id: 24 lower-case hex digits, as MongoDB generates them."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Role:
    """A named list of permissions. Built-in roles have no id."""

    name: str
    permissions: tuple[str, ...]
    notes: str = ""
    id: str | None = None
    created_at: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """A person, app or script that may call the API. Its access token is derived from `id` and `nonce`, and is not stored.

    `timestamp`: whether its calls must carry the client's time, where the server demands that at all. `disabled`: whether all
    its credentials are refused. `is_person`: whether it has an account. `is_client`: whether it is an application of OAuth2.
    `is_device`: whether it is a device with a key of its own.
    `groups`, `ous`: groups and organisational units, which grant nothing here; other services hear of them.
    """

    id: str
    name: str
    roles: tuple[str, ...]
    notes: str = ""
    created_at: str = ""
    nonce: str = field(default="", repr=False)
    timestamp: Timestamp = "required"
    disabled: bool = False
    is_person: bool = False
    is_client: bool = False
    is_device: bool = False
    groups: tuple[str, ...] = ()
    ous: tuple[str, ...] = ()


_READ, _WRITE = ("api:*:read",), ("api:*:create,update,delete",)
_EXECUTE = ("api:*:admin", "notifications:*:ack", "admin:*")
BUILT_IN_ROLES = tuple(
    Role(name, permissions, notes)
    for name, permissions, notes in (
        ("admin", ("*",), "may do everything"),
        ("denied", (), "may do nothing"),
        ("status-only", ("api:status:read",), "may see the server's status"),
        ("readable", ("*:*:read",), "may read every collection"),
        ("careportal", ("api:treatments:create",), "may add treatments"),
        ("devicestatus-upload", ("api:devicestatus:create",), "may add device status"),
        ("activity", ("api:activity:create",), "may add activity"),
        ("reader", _READ, "may do what the scope read allows"),
        ("writer", _WRITE, "may do what the scope write allows"),
        ("moderator", (*_READ, *_WRITE), "may do what the scopes read and write allow"),
        ("administrator", (*_READ, *_WRITE, *_EXECUTE), "may do what the scopes read, write and execute allow"),
    )
)
"""The built-in roles (docs/reference/protocol.md, section 2); the last four are those of seed 003, with its scopes.
A stored role of the same name overrides the built-in one.
"""
