"""A change as JSON text, in the one form that server-sent events and Socket.IO share."""

from __future__ import annotations

import orjson

from apiv3.model.changes import Change


def change_json(change: Change, *, dates_removals: bool = False) -> str:
    """The JSON object that tells what happened; the kind of change stands beside it, as the name of the event.

    `dates_removals`: a deletion says its `srvModified` too. Server-sent events do so; in the protocol of `/storage` a deletion
    has `colName` and `identifier` only.
    """
    start = f'{{"colName":"{change.collection}"'
    if change.kind == "reset":
        return start + "}"
    if change.kind == "delete":
        dated = f',"srvModified":{change.srv_modified}' if dates_removals else ""
        return f'{start},"identifier":{orjson.dumps(change.identifier).decode()}{dated}}}'
    return f'{start},"doc":{change.body}}}'  # the document is JSON text already
