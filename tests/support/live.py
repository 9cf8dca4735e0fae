"""What the tests of live changes stand on."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from apiv3.model.changes import Change
from apiv3.model.documents import Document

State = dict[str, Document]
"""Identifier -> document, as a follower has them that keeps no deleted ones."""


def apply(state: State, changes: Iterable[Change]) -> State:
    """Do to a follower's state what happened to the table; returns the same state."""
    for change in changes:
        if change.kind == "reset":
            state.clear()
        elif change.kind == "delete":
            state.pop(change.identifier, None)
        else:
            assert change.body is not None
            state[change.identifier] = orjson.loads(change.body)
    return state
