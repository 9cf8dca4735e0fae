"""The audit trail, and the failed sign-ins in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, cast, get_args

from apiv3.model import timestamps
from apiv3.model.audit import Action, Entry, Order, Outcome, Page, Search
from apiv3.security.trail import Trail
from apiv3.web.administration import author
from apiv3.web.calls import Call
from apiv3.web.responses import Answer
from apiv3.web.site.admin.frame import admin_page
from apiv3.web.site.listings import ROWS, Column, Listing

_FILTERS = ("since", "until", "actor", "action", "target", "outcome")


def _in_database(entry: Entry) -> int:
    """Return some key, so that the column can be sorted; the database sorts the entries, not the page."""
    return entry.time


_COLUMNS: Sequence[Column[Entry]] = (
    Column("time", "Time", _in_database),
    Column("actor", "Who", _in_database),
    Column("action", "What", _in_database),
    Column("target", "To whom or what", _in_database),
    Column("address", "From", _in_database),
    Column("details", "Details"),
)
_FAILURE_COLUMNS: Sequence[Column[Entry]] = (
    Column("time", "Time", _in_database),
    Column("target", "Account", _in_database),
    Column("address", "From", _in_database),
    Column("way", "For"),
)

Fetch = Callable[[Order, int], Awaitable[Page]]


class TrailPages:
    """The endpoints."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail

    async def audit(self, call: Call) -> Answer:
        """Show the audit trail, with filters."""
        search, complaint = _search(call)
        listing = Listing.of(call, _COLUMNS, "-time", _FILTERS)

        async def fetch(order: Order, skip: int) -> Page:
            return await self._trail.page(search, author(call), order, skip, ROWS, descending=listing.descending)

        return await self._show(call, "audit.html", listing, fetch, complaint)

    async def failures(self, call: Call) -> Answer:
        """Show failed sign-ins."""
        search, complaint = _search(call)
        listing = Listing.of(call, _FAILURE_COLUMNS, "-time", ("since", "until"))

        async def fetch(order: Order, skip: int) -> Page:
            return await self._trail.failures(search, author(call), order, skip, ROWS, descending=listing.descending)

        return await self._show(call, "failures.html", listing, fetch, complaint)

    async def _show(self, call: Call, template: str, listing: Listing[Entry], fetch: Fetch, complaint: str) -> Answer:
        order = cast("Order", listing.sort)
        page = await fetch(order, (listing.page - 1) * ROWS)
        last = max(1, -(-page.total // ROWS))
        if listing.page > last:
            listing = replace(listing, page=last)
            page = await fetch(order, (last - 1) * ROWS)
        context: dict[str, Any] = {name: call.query.one(name) or "" for name in _FILTERS}
        context |= {"actions": get_args(Action), "outcomes": get_args(Outcome), "is_filtered": any(context.values())}
        shown = replace(listing, rows=page.entries, total=page.total)
        return admin_page(call, template, listing=shown, complaint=complaint, **context)


def _search(call: Call) -> tuple[Search, str]:
    """Return what the parameters ask for, and what is wrong about them. What makes no sense counts as missing."""
    query, complaint, times = call.query, "", dict[str, int | None]()
    for name in ("since", "until"):
        text = query.one(name)
        try:
            times[name] = timestamps.parse(text).ms if text else None
        except ValueError:
            times[name], complaint = None, "A time must be like 2026-01-31 or 2026-01-31T13:05:00Z."
    action, outcome = query.one("action"), query.one("outcome")
    search = Search(
        times["since"] or 0,
        times["until"],
        (query.one("actor") or "").strip() or None,
        cast("Action", action) if action in get_args(Action) else None,
        (query.one("target") or "").strip() or None,
        cast("Outcome", outcome) if outcome in get_args(Outcome) else None,
        (query.one("search") or "").strip(),
    )
    return search, complaint
