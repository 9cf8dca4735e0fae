"""Exports of Dexcom Clarity: a CSV file of glucose readings, insulin, carbohydrates, exercise and the settings of alerts.

Its fields are separated by commas, or by semicolons where a spreadsheet has saved it that writes numbers with a comma. Its
times are local and carry no zone. Glucose stands in mg/dL or mmol/L; a document's `sgv` is always in mg/dL.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from datetime import datetime, timedelta, tzinfo
from itertools import chain

from apiv3.files.records import Malformed, Record, as_text
from apiv3.model.documents import Document
from apiv3.model.errors import ApiError, BadRequest
from apiv3.model.glucose import MG_PER_MMOL

BEYOND = {"low": 39, "high": 401}
"""mg/dL for what the receiver writes as a word: below 40, above 400."""
APP = "apiv3 import"

_PERSONAL = frozenset({"FirstName", "LastName", "DateOfBirth", "Device"})
"""Rows about the person and the receiver, which are no data of the API."""
_COLUMNS = {
    "time": "Timestamp",
    "event": "Event Type",
    "subtype": "Event Subtype",
    "device": "Source Device ID",
    "glucose": "Glucose Value",
    "insulin": "Insulin Value",
    "carbs": "Carb Value",
    "duration": "Duration",
    "rate": "Glucose Rate of Change",
}
_REQUIRED = ("time", "event", "glucose")
_Fields = Mapping[str, str]


def is_clarity(start: bytes) -> bool:
    """Whether a file that begins so is such an export."""
    header = start.decode("utf-8-sig", "replace").partition("\n")[0]
    return all(_COLUMNS[name] in header for name in _REQUIRED)


def read(file: io.BufferedReader, zone: tzinfo) -> Generator[Record]:
    """The documents of an export whose times are those of `zone`. Raises Malformed."""
    with as_text(file) as text:
        line = 0
        try:
            header = text.readline()
            lines = csv.reader(chain([header], text), delimiter=max(",;", key=header.count))
            export = _Export(next(lines), zone)
            for cells in lines:
                line = lines.line_num
                yield from export.rows(line, cells)
            yield from export.alerts()
        except (UnicodeDecodeError, csv.Error) as error:
            raise Malformed(f"after line {line} it is no CSV in UTF-8: {error}") from None


class _Export:
    """The rows of one file, from the first one on: the order tells a repeated hour from the one before it."""

    def __init__(self, header: list[str], zone: tzinfo) -> None:
        """Raises Malformed where a column is missing that has to be there."""
        self._places = {
            name: place for name, start in _COLUMNS.items() for place, title in enumerate(header) if title.startswith(start)
        }
        if missing := [_COLUMNS[name] for name in _REQUIRED if name not in self._places]:
            raise Malformed(f"its first line has no column {', '.join(missing)}")
        self._in_mmol = any(title.startswith("Glucose Value") and "mmol" in title for title in header)
        self._zone = zone
        self._last, self._again = datetime.min, False  # noqa: DTZ901 (local times are compared)
        self._first_date: int | None = None
        self._alerts: dict[str, tuple[int, list[Document]]] = {}
        self._named: Counter[str] = Counter()

    def rows(self, line: int, cells: list[str]) -> Iterator[Record]:
        filled = {name: cells[place].strip() for name, place in self._places.items() if place < len(cells)}
        fields = dict.fromkeys(_COLUMNS, "") | filled
        if not fields["event"] or fields["event"] in _PERSONAL:
            return
        is_setting = fields["event"] == "Alert" and not fields["time"]
        collection = "settings" if is_setting else _COLLECTIONS.get(fields["event"], "")
        try:
            if is_setting:
                alert = self._alert(fields)
                self._alerts.setdefault(fields["device"], (line, []))[1].append(alert)
                return
            item: Document | ApiError = self._document(fields)
        except ValueError as error:
            item = BadRequest(str(error))
        yield Record(line, item, sum(map(len, cells)) + len(cells), collection)

    def alerts(self) -> Iterator[Record]:
        """The settings of each device's alerts, once everything else is known: they have no time of their own."""
        for device, (line, alerts) in self._alerts.items():
            if self._first_date is not None:
                document: Document = {"identifier": f"clarity-alerts-{device}", "alerts": alerts, "app": APP}
                document |= {"date": self._first_date} | ({"device": device} if device else {})
                yield Record(line, document, 0, "settings")

    def _document(self, fields: _Fields) -> Document:
        """The document of a row. Raises ValueError."""
        content = _CONTENTS.get(fields["event"])
        if content is None:
            raise ValueError(f"Unknown event type {fields['event']!r}")
        document = {"app": APP, **self._when(fields), **content(self, fields)}
        return document | self._name(fields["event"], document)

    def _name(self, event: str, document: Document) -> Document:
        """An identifier, where the one that is made of device, date and event type would be that of another row.

        A calibration stands beside the reading of the same second, and a person may note two meals for the same minute.
        """
        if event == "EGV":
            return {}
        key = f"clarity-{event.lower()}-{document.get('device', '')}-{document['date']}"
        self._named[key] += 1
        number = self._named[key]
        if event != "Calibration" and number == 1:
            return {}
        return {"identifier": key if number == 1 else f"{key}-{number}"}

    def _when(self, fields: _Fields) -> Document:
        try:
            local = datetime.fromisoformat(fields["time"])
        except ValueError:
            raise ValueError(f"Bad timestamp {fields['time']!r}: it must look like 2024-01-31T13:05:00") from None
        moment = self._localised(local) if local.tzinfo is None else local
        date = round(moment.timestamp() * 1000)
        self._first_date = date if self._first_date is None else self._first_date
        offset = (moment.utcoffset() or timedelta()) // timedelta(minutes=1)
        device = fields["device"]
        return {"date": date, "utcOffset": offset} | ({"device": device} if device else {})

    def _localised(self, local: datetime) -> datetime:
        """The moment of a local time. When the clock is put back an hour comes twice: the second time it goes back here too."""
        moment = local.replace(tzinfo=self._zone)
        twice = moment.utcoffset() != moment.replace(fold=1).utcoffset()
        self._again = twice and (self._again or local < self._last)
        self._last = local
        return moment.replace(fold=int(self._again))

    def _glucose(self, text: str) -> int:
        """A reading in mg/dL."""
        beyond = BEYOND.get(text.lower())
        if beyond is not None:
            return beyond
        return round(_number(text, "glucose value") * (MG_PER_MMOL if self._in_mmol else 1))

    def _reading(self, fields: _Fields) -> Document:
        return {"type": "sgv", "sgv": self._glucose(fields["glucose"]), "units": "mg/dl"}

    def _calibration(self, fields: _Fields) -> Document:
        return {"type": "mbg", "mbg": self._glucose(fields["glucose"]), "units": "mg/dl"}

    def _insulin(self, fields: _Fields) -> Document:
        """Long-acting insulin is told in words: apps count the field `insulin` as a bolus that is still at work."""
        units = _number(fields["insulin"], "insulin value")
        if fields["subtype"] == "Long-Acting":
            return {"eventType": "Note", "notes": f"Long-acting insulin: {units:g} U"}
        return {"eventType": "Correction Bolus", "insulin": units}

    def _carbs(self, fields: _Fields) -> Document:
        return {"eventType": "Carb Correction", "carbs": _number(fields["carbs"], "carb value")}

    def _exercise(self, fields: _Fields) -> Document:
        document: Document = {"eventType": "Exercise", "notes": fields["subtype"]}
        return document | {"duration": _minutes(fields["duration"])}

    def _note(self, fields: _Fields) -> Document:
        words = ": ".join(filter(None, (fields["event"], fields["subtype"])))
        return {"eventType": "Note", "notes": words}

    def _alert(self, fields: _Fields) -> Document:
        """One alert as it is set: at a glucose value in mg/dL, after some minutes, at mg/dL per minute."""
        alert: Document = {"name": fields["subtype"]}
        if fields["glucose"]:
            alert["glucose"] = self._glucose(fields["glucose"])
        if fields["duration"]:
            alert["minutes"] = _minutes(fields["duration"])
        if fields["rate"]:
            alert["rate"] = _number(fields["rate"], "rate of change")
        return alert


_CONTENTS = {
    "EGV": _Export._reading,
    "Calibration": _Export._calibration,
    "Insulin": _Export._insulin,
    "Carbs": _Export._carbs,
    "Exercise": _Export._exercise,
    "Health": _Export._note,
    "Note": _Export._note,
    "Notes": _Export._note,
    "Alert": _Export._note,
}
_COLLECTIONS = {event: "entries" if event in ("EGV", "Calibration") else "treatments" for event in _CONTENTS}


def _number(text: str, what: str) -> float:
    """A number with a point or a comma. Raises ValueError."""
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        raise ValueError(f"Bad {what} {text!r}: it must be a number") from None
    if not 0 <= value < 1e6:
        raise ValueError(f"Bad {what} {text!r}")
    return int(value) if value == int(value) else value


def _minutes(text: str) -> float:
    """`0:20:00` in minutes; a colon or a comma may follow. Raises ValueError."""
    parts = text.rstrip(":,").split(":")
    if len(parts) != 3 or not all(part.isdigit() for part in parts):
        raise ValueError(f"Bad duration {text!r}: it must look like 0:20:00")
    hours, minutes, seconds = map(int, parts)
    total = hours * 60 + minutes + seconds / 60
    return int(total) if total == int(total) else round(total, 2)
