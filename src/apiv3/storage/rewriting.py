"""Bodies that an earlier version stored, rewritten in batches: `20.0` becomes `20`, as every body is stored by now.

A migration of the tables is one transaction. This is not: a batch is, so that a large table costs little memory, keeps
nobody from writing for long, and goes on where it was when the process was killed. Any number of processes may take part.

A document keeps its `srvModified`, since its value does not change; those who follow the collection are told nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, text

from apiv3.model.documents import whole

PROGRESS = "/numbers"
"""The row of `clocks` that says up to which `id` it is done; there is none once everything is. No collection has that name."""
ROWS, CHARACTERS = 1000, 8_000_000
"""A batch: at most so many documents, and the first of them that together have so many characters."""

_DONE_UP_TO = text("SELECT last FROM clocks WHERE name = :name")
_BATCH = text("""
    SELECT id, body, srv_modified FROM (
        SELECT id, body, srv_modified, sum(length(body)) OVER (ORDER BY id) - length(body) AS characters
        FROM (SELECT id, body, srv_modified FROM documents WHERE id > :last ORDER BY id LIMIT :rows) AS page
    ) AS page WHERE characters < :characters ORDER BY id
""")
_REWRITE = text("UPDATE documents SET body = :body WHERE id = :id AND srv_modified = :seen")
"""Unless somebody has written to the document meanwhile."""
_GO_ON = text("UPDATE clocks SET last = :last WHERE name = :name")
_END = text("DELETE FROM clocks WHERE name = :name")
_WHOLE_FLOAT = re.compile(r"\d\.0[,}\]]")
"""How orjson ends a whole float within 2^53; texts that only look like it cost a second look."""


def make_numbers_whole(connection: Connection) -> bool:
    """Rewrite one batch; whether there may be more to do. In a transaction that holds the lock of `storage.schema`."""
    last = connection.execute(_DONE_UP_TO, {"name": PROGRESS}).scalar()
    if last is None:
        return False
    rows = connection.execute(_BATCH, {"last": last, "rows": ROWS, "characters": CHARACTERS}).fetchall()
    if not rows:
        connection.execute(_END, {"name": PROGRESS})
        return False
    if changes := list(_changes(rows)):
        connection.execute(_REWRITE, changes)
    connection.execute(_GO_ON, {"name": PROGRESS, "last": rows[-1].id})
    return True


def _changes(rows: Sequence[Any]) -> Iterator[dict[str, Any]]:
    for row in rows:
        if _WHOLE_FLOAT.search(row.body):
            body = orjson.dumps(whole(orjson.loads(row.body))).decode()
            if body != row.body:
                yield {"id": row.id, "seen": row.srv_modified, "body": body}
