"""The endpoints about the server as a whole: VERSION, STATUS, LASTMODIFIED."""

from __future__ import annotations

from typing import Any

from apiv3 import API_VERSION, __version__
from apiv3.model import timestamps
from apiv3.operations.reading import Reading
from apiv3.storage.contracts import DocumentStore
from apiv3.web.calls import Call
from apiv3.web.responses import Answer, enveloped, json_answer


class Service:
    """The endpoints. `store`: names the database and its version."""

    def __init__(self, reading: Reading, store: DocumentStore) -> None:
        self._reading, self._store = reading, store
        self._storage: dict[str, str] | None = None

    async def health(self, _call: Call) -> Answer:
        """Check that the process answers. Nothing else is asked: neither the database nor who calls."""
        return json_answer({"status": "ok"})

    async def version(self, _call: Call) -> Answer:
        """Get the versions of the server and the API, the time, and the database."""
        return enveloped({"result": await self._version()})

    async def status(self, call: Call) -> Answer:
        """Get the versions, the time, the database, and what the caller may do with each collection."""
        return enveloped({"result": {**await self._version(), "apiPermissions": self._reading.rights(call.principal)}})

    async def last_modified(self, call: Call) -> Answer:
        """Get the time of the last change of each collection that the caller may read."""
        collections = await self._reading.last_modified(call.principal)
        return enveloped({"result": {"srvDate": timestamps.now(), "collections": collections}})

    async def _version(self) -> dict[str, Any]:
        if self._storage is None:
            name, version = await self._store.version()
            self._storage = {"storage": name, "version": version}
        return {"version": __version__, "apiVersion": API_VERSION, "srvDate": timestamps.now(), "storage": self._storage}
