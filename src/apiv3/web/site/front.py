"""The page `/`: for strangers what this server is, and a way in; for who may read entries, the glucose of the last 24 hours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from apiv3.model import overview, timestamps
from apiv3.model.alarms import Thresholds
from apiv3.model.collections import Collection
from apiv3.model.documents import MINUTE, Document
from apiv3.model.glucose import Unit
from apiv3.model.overview import DAY, Reading
from apiv3.model.queries import Filter, Query, Sort
from apiv3.operations.reading import Reading as Documents
from apiv3.security.permissions import Demand
from apiv3.security.principal import Principal
from apiv3.web.calls import Call
from apiv3.web.responses import Answer
from apiv3.web.site.chart import HEIGHT, chart
from apiv3.web.site.checklist import Checklist
from apiv3.web.site.pages import PublicPage, page

MOST_READINGS, MOST_TREATMENTS = 2000, 8
"""Most entries of 24 hours: one a minute, and some more. Treatments that are shown."""
_AHEAD = 5 * MINUTE
"""Milliseconds by which a treatment may be dated in the future, for clocks differ."""
_READ, _TREATMENTS = Demand.of("api", "entries", "read"), Demand.of("api", "treatments", "read")
_SGV, _LATEST = Filter(("type",), "eq", "sgv"), Sort(("date",), descending=True)
_PREFERENCE = re.compile(rb"(?:^|;) *(units|zone)=(mmol|mgdl|-?\d{1,4}) *(?=;|$)")
_UNITS = {"mgdl": Unit.MGDL, "mmol": Unit.MMOL}
_YEAR = 31_536_000
_QUANTITIES = (("insulin", "U insulin"), ("carbs", "g carbs"), ("duration", "min"))
"""Fields of treatments with numbers, and what stands after these."""


class Clock(NamedTuple):
    """How times are shown: as `offset` minutes from UTC, relative to `now` (ms)."""

    now: int
    offset: int

    def iso(self, ms: int) -> str:
        """Return a time for programs."""
        return timestamps.iso(ms)

    def time(self, ms: int) -> str:
        """Return a time of today as `09:05`, of another day as `26 Nov 09:05`."""
        local = datetime.fromtimestamp(ms / 1000, UTC) + timedelta(minutes=self.offset)
        today = ms >= overview.midnight(self.now, self.offset)
        return f"{local:%H:%M}" if today else f"{local.day} {local:%b %H:%M}"

    def ago(self, ms: int) -> str:
        """Return how long ago a time is, in words."""
        return overview.ago(self.now - ms)

    @property
    def zone(self) -> str:
        """The name of the zone: `UTC+01:00`."""
        sign, minutes = "−" if self.offset < 0 else "+", abs(self.offset)
        return f"UTC{sign}{minutes // 60:02d}:{minutes % 60:02d}" if minutes else "UTC"


class Treatment(NamedTuple):
    """A treatment as it is shown."""

    date: int
    what: str
    amounts: str
    notes: str


class Front:
    """The endpoint. `thresholds`: the target range, and when readings are too old."""

    def __init__(
        self, documents: Documents, collections: Mapping[str, Collection], thresholds: Thresholds, checklist: Checklist
    ) -> None:
        self._documents, self._collections = documents, collections
        self._thresholds, self._checklist = thresholds, checklist
        self._welcome = PublicPage("welcome.html")

    async def show(self, call: Call) -> Answer:
        """Show the glucose of the last 24 hours to who may read it, and everybody else a way in."""
        if call.principal.allows(_READ):
            return await self._overview(call)
        return self._welcome.show(call)

    async def _overview(self, call: Call) -> Answer:
        who, now = call.principal, timestamps.now()
        series = await self._readings(who, now)
        last = series[-1] if series else await self._last(who, now)
        unit, zone = _preferences(call)
        clock = Clock(now, zone if zone is not None else last.offset if last else 0)
        today = overview.midnight(now, clock.offset)
        bottom, top = self._thresholds.target_bottom, self._thresholds.target_top
        return page(
            call,
            "front.html",
            clock=clock,
            unit=unit,
            units=_UNITS,
            last=last,
            previous=overview.before(series),
            is_silent=last is not None and now - last.date > self._thresholds.stale * MINUTE,
            target=(bottom, top),
            series=series,
            chart=chart(series, now, clock.offset, (bottom, top), unit),
            height=HEIGHT,
            shares=overview.shares((each for each in series if each.date >= today), bottom, top),
            treatments=await self._treatments(who, now) if who.allows(_TREATMENTS) else None,
            steps=self._checklist.steps(who, has_reading=last is not None),
        )

    async def _readings(self, who: Principal, now: int) -> list[Reading]:
        """Return the readings of the last 24 hours. Those with a date in the future count from when they arrived."""
        entries = await self._search(who, "entries", Query((_SGV, Filter(("date",), "gte", now - DAY)), _LATEST, MOST_READINGS))
        return [reading for reading in overview.readings(entries) if reading.date >= now - DAY]

    async def _last(self, who: Principal, now: int) -> Reading | None:
        """Return the newest reading, which is older than a day."""
        entries = await self._search(who, "entries", Query((_SGV, Filter(("date",), "lt", now - DAY)), _LATEST, 20))
        return next(reversed(overview.readings(entries)), None)

    async def _treatments(self, who: Principal, now: int) -> list[Treatment]:
        query = Query((Filter(("date",), "lte", now + _AHEAD),), _LATEST, MOST_TREATMENTS)
        return [_treatment(each) for each in await self._search(who, "treatments", query)]

    async def _search(self, who: Principal, collection: str, query: Query) -> Sequence[Document]:
        found = await self._documents.search(who, self._collections[collection], query)
        try:
            return found.documents
        finally:
            found.release()


def _preferences(call: Call) -> tuple[Unit, int | None]:
    """Return the unit that the person has chosen, and the offset of the browser's clock in minutes, None if it is unknown.

    The parameter `units` chooses, and a cookie keeps the choice, unless a page of another site has made it.
    """
    cookies = {name: value.decode() for name, value in _PREFERENCE.findall(call.headers.get(b"cookie", b""))}
    chosen = call.query.one("units")
    if chosen in _UNITS and not call.is_foreign:
        secure = "; Secure" if call.origin.encrypted else ""
        kept = f"units={chosen}; Path=/; Max-Age={_YEAR}; HttpOnly; SameSite=Lax{secure}"
        call.cookies = (*call.cookies, (b"set-cookie", kept.encode()))
    zone = cookies.get(b"zone", "")
    unit = _UNITS.get(chosen or "") or _UNITS.get(cookies.get(b"units", "")) or Unit.MGDL
    return unit, int(zone) if zone.lstrip("-").isdigit() and abs(int(zone)) <= 840 else None


def _treatment(document: Document) -> Treatment:
    """Return what is shown of a treatment. Its fields are the client's, so they may be anything."""
    numbers = ((document.get(name), words) for name, words in _QUANTITIES)
    amounts = [f"{value:g} {words}" for value, words in numbers if type(value) in (int, float) and value]
    what, notes = document.get("eventType"), document.get("notes")
    return Treatment(
        int(document["date"]),
        _shortened(what) if isinstance(what, str) and what.strip() else "Treatment",
        ", ".join(amounts),
        _shortened(notes) if isinstance(notes, str) else "",
    )


def _shortened(text: str, length: int = 200) -> str:
    return text if len(text) <= length else f"{text[:length]}…"
