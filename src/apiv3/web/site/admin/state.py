"""The state of the server."""

from __future__ import annotations

from collections.abc import Sequence

from apiv3.operations.inspection import Inspection
from apiv3.storage.contracts.inventory import Holding
from apiv3.web.calls import Call
from apiv3.web.responses import Answer
from apiv3.web.site.admin.frame import admin_page
from apiv3.web.site.listings import Column, Listing

_COLUMNS: Sequence[Column[Holding]] = (
    Column("collection", "Collection", lambda holding: holding.collection),
    Column("documents", "Documents", lambda holding: holding.documents),
    Column("newest", "Newest, by its date", lambda holding: holding.newest or 0),
    Column("changed", "Last change", lambda holding: holding.changed),
)
_STEP = 1024


class StatePage:
    """The endpoint."""

    def __init__(self, inspection: Inspection) -> None:
        self._inspection = inspection

    async def show(self, call: Call) -> Answer:
        """Show the server's version, database, documents and processes."""
        state = await self._inspection.state(call.principal)
        listing = Listing.of(call, _COLUMNS, "collection").among(state.holdings)
        return admin_page(call, "state.html", state=state, size=_readable(state.size), listing=listing)


def _readable(size: int) -> str:
    """Return a number of bytes with a unit, such as `1.5 MiB`."""
    amount, units = float(size), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while amount >= _STEP and len(units) > 1:
        amount /= _STEP
        units.pop(0)
    return f"{size} bytes" if units[0] == "bytes" else f"{amount:.1f} {units[0]}"
