"""Rewrite bodies stored by earlier versions in batches: `20.0` becomes `20`, as newer versions store it.

Unlike a migration of the tables, this is not a single transaction, but one per batch. So a large table needs little memory,
writers wait only for a moment, and the work resumes where it was when the process was killed. Several processes may take part.

A document keeps its `srvModified`, since its value does not change, and followers are not notified.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, text

from apiv3.model.documents import whole
from apiv3.storage.revision import REWRITING

ROWS, CHARACTERS = 1000, 8_000_000
"""Most documents in a batch, and the characters of their bodies after which a batch ends."""

_DONE_UP_TO = text("SELECT last FROM clocks WHERE name = :name")
_BATCH = text("""
    SELECT id, body, srv_modified FROM (
        SELECT id, body, srv_modified, sum(length(body)) OVER (ORDER BY id) - length(body) AS characters
        FROM (SELECT id, body, srv_modified FROM documents WHERE id > :last ORDER BY id LIMIT :rows) AS page
    ) AS page WHERE characters < :characters ORDER BY id
""")
_REWRITE = text("UPDATE documents SET body = :body WHERE id = :id AND srv_modified = :seen")
"""Does nothing if the document has been changed meanwhile."""
_GO_ON = text("UPDATE clocks SET last = :last WHERE name = :name")
_END = text("DELETE FROM clocks WHERE name = :name")
_WHOLE_FLOAT = re.compile(r"\d\.0[,}\]]")
"""The end of a whole float below 2^53 as orjson writes it. It can also match inside a text; then the body does not change."""


def make_numbers_whole(connection: Connection) -> bool:
    """Rewrite one batch, and return whether there may be more to do. Call this with `storage.schema.locked`."""
    last = connection.execute(_DONE_UP_TO, {"name": REWRITING}).scalar()
    if last is None:
        return False
    rows = connection.execute(_BATCH, {"last": last, "rows": ROWS, "characters": CHARACTERS}).fetchall()
    if not rows:
        connection.execute(_END, {"name": REWRITING})
        return False
    if changes := list(_changes(rows)):
        connection.execute(_REWRITE, changes)
    connection.execute(_GO_ON, {"name": REWRITING, "last": rows[-1].id})
    return True


def _changes(rows: Sequence[Any]) -> Iterator[dict[str, Any]]:
    for row in rows:
        if _WHOLE_FLOAT.search(row.body):
            body = orjson.dumps(whole(orjson.loads(row.body))).decode()
            if body != row.body:
                yield {"id": row.id, "seen": row.srv_modified, "body": body}
