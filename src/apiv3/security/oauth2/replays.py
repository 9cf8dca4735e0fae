"""Codes and refresh tokens that are used twice: somebody has a copy, so all that they gave ends."""

from __future__ import annotations

import logging

from apiv3.model.audit import Actor, Entry, Target
from apiv3.model.clients import Application
from apiv3.model.timestamps import now
from apiv3.storage.contracts.oauth2 import GrantWriter

_log = logging.getLogger(__name__)


async def note_replay(writer: GrantWriter, grant: str, application: Application, address: str) -> None:
    """End a grant whose code or refresh token came a second time, and record that."""
    name, client = application.subject.name, application.client.id
    if not await writer.end([grant]):
        return
    _log.warning("the application %r sent a code or a refresh token twice; all tokens that belong to it have ended", name)
    actor, target = Actor(client, name, "application", address), Target("application", client, name)
    await writer.note(Entry(now(), actor, "token-replayed", target, "failure", {"grant": grant}))
