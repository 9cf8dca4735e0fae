"""Exports of Dexcom Clarity: a CSV file of glucose readings, insulin, carbohydrates, exercise and the settings of alerts.

Commas separate the fields, or semicolons if it was saved by a spreadsheet that writes numbers with a decimal comma. The
times are local and have no zone. Glucose is in mg/dL or mmol/L; a document's `sgv` is always in mg/dL.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import NamedTuple

from apiv3.files.local_times import Local, Placed, moments
from apiv3.files.records import Malformed, Record
from apiv3.model.documents import Document
from apiv3.model.errors import ApiError, BadRequest
from apiv3.model.glucose import MG_PER_MMOL

BEYOND = {"low": 39, "high": 401}
"""mg/dL for the words that the receiver writes instead of a number: below 40, and above 400."""
APP = "apiv3 import"
LARGEST = 268_435_456
"""Most bytes of an export. It is read as a whole, since the meaning of a time depends on the order of all rows."""

_PERSONAL = frozenset({"FirstName", "LastName", "DateOfBirth", "Device"})
"""Events of rows about the person and the receiver, which are not imported. Rows of this kind have no time."""
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
_POSSIBLE = {"mg/dL": (20, 1000), "mmol/L": (1, 50)}
"""The range of possible glucose values in each unit. A value outside it shows that the file has the other unit."""
_TIME = re.compile(r"(\d{4}-\d\d?-\d\d?)[T ](\d\d?:\d\d(?::\d\d(?:\.\d{1,6})?)?)(Z|[+-]\d\d:\d\d)?", re.ASCII | re.IGNORECASE)
_Fields = Mapping[str, str]


def is_clarity(start: bytes) -> bool:
    """Return whether a file with this beginning is a Clarity export."""
    header = start.decode("utf-8-sig", "replace").partition("\n")[0]
    return all(_COLUMNS[name] in header for name in _REQUIRED)


def unit(header: str) -> str | None:
    """Return the glucose unit in the first line of an export, or None if it names none. Raises Malformed if it names two."""
    units = [name for name in _POSSIBLE if name.lower() in header.lower()]
    if len(units) > 1:
        raise Malformed(f"its first line names two units of glucose: {' and '.join(units)}")
    return units[0] if units else None


def read(file: io.BufferedReader, zone: tzinfo) -> Generator[Record]:
    """Yield the documents of an export whose times are local times of `zone`. Raises Malformed before the first document."""
    lines = _lines(file)
    _, header = next(lines)
    export = _Export(header, zone)
    yield from export.rows([export.line(number, cells) for number, cells in lines])


def _lines(file: io.BufferedReader) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the line in which each row ends, and the row's cells. Raises Malformed."""
    data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise Malformed(f"it is larger than {LARGEST >> 20} MiB: export a shorter time")
    line = 0
    try:
        text = data.decode("utf-8-sig")
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;", key=text.partition("\n")[0].count))
        for cells in lines:
            line = lines.line_num
            yield line, cells
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start)
        raise Malformed(
            f"after line {line} it is no CSV in UTF-8: {error.reason}. Probably a spreadsheet saved it in Windows-1252: "
            'save it as "CSV UTF-8", or run iconv -f WINDOWS-1252 -t UTF-8'
        ) from None
    except csv.Error as error:
        raise Malformed(f"after line {line} it is no CSV in UTF-8: {error}") from None


class _Line(NamedTuple):
    """A row of the file. `size`: its approximate size in bytes."""

    number: int
    fields: _Fields
    size: int

    @property
    def is_setting(self) -> bool:
        return self.fields["event"] == "Alert" and not self.fields["time"]

    @property
    def is_data(self) -> bool:
        """Whether the row is data to import. Rows about the person and the devices are not, and have no time."""
        event = self.fields["event"]
        return event not in _PERSONAL and bool(self.fields["time"] or event in _CONTENTS)


class _Export:
    """One file. All rows are needed at once, since the meaning of each depends on the order and the values of the others."""

    def __init__(self, header: list[str], zone: tzinfo) -> None:
        """Find the columns. Raises Malformed if a required one is missing."""
        self._places = {
            name: place for name, start in _COLUMNS.items() for place, title in enumerate(header) if title.startswith(start)
        }
        if missing := [_COLUMNS[name] for name in _REQUIRED if name not in self._places]:
            raise Malformed(f"its first line has no column {', '.join(missing)}")
        self._unit = unit(",".join(header))
        self._zone = zone
        self._named: Counter[str] = Counter()
        self._readings: dict[tuple[str, int], tuple[int, int]] = {}

    def line(self, number: int, cells: list[str]) -> _Line:
        filled = {name: cells[place].strip() for name, place in self._places.items() if place < len(cells)}
        return _Line(number, dict.fromkeys(_COLUMNS, "") | filled, sum(map(len, cells)) + len(cells))

    def rows(self, lines: Sequence[_Line]) -> Iterator[Record]:
        """Yield a record for each line. Raises Malformed before the first record."""
        lines = [line for line in lines if line.is_data]
        self._check_unit(lines)
        times = _times(lines, self._zone)
        for line in lines:
            if not line.is_setting:
                yield self._row(line, times.get(line.number))
        yield from self._alerts([line for line in lines if line.is_setting], times)

    def _check_unit(self, lines: Sequence[_Line]) -> None:
        """Check that the values are possible in the unit that the file names. Raises Malformed."""
        for line in lines:
            value = _glucose(line.fields["glucose"])
            if value is None:
                continue
            if self._unit is None:
                raise Malformed("its first line names no unit of glucose: neither mg/dL nor mmol/L stands in it")
            least, most = _POSSIBLE[self._unit]
            if not least <= value <= most:
                raise Malformed(f"its first line says {self._unit}, and line {line.number} says {value:g}, which cannot be")

    def _row(self, line: _Line, moment: Placed | None) -> Record:
        fields = line.fields
        notes: tuple[str, ...] = ()
        try:
            item: Document | ApiError = self._document(line, moment)
            if moment and not moment.certain:
                said = f"{moment.time:%Y-%m-%d %H:%M:%S} came twice, as the clocks went back; it is stored as the "
                notes = (said + ("second" if moment.time.fold else "first"),)
        except ValueError as error:
            item = BadRequest(str(error))
        return Record(line.number, item, line.size, _COLLECTIONS.get(fields["event"], ""), notes=notes)

    def _alerts(self, lines: Sequence[_Line], times: Mapping[int, Placed]) -> Iterator[Record]:
        """Yield the alert settings of each device. They have no time, so they get the earliest time of the file."""
        if not times:
            return
        date = min(_milliseconds(each.time) for each in times.values())
        found: dict[str, tuple[int, list[Document]]] = {}
        for line in lines:
            try:
                alert = self._alert(line.fields)
                found.setdefault(line.fields["device"], (line.number, []))[1].append(alert)
            except ValueError as error:
                yield Record(line.number, BadRequest(str(error)), line.size, "settings")
        for device, (number, alerts) in found.items():
            document: Document = {"identifier": f"clarity-alerts-{device}", "alerts": alerts, "app": APP}
            document |= {"date": date} | ({"device": device} if device else {})
            yield Record(number, document, 0, "settings")

    def _document(self, line: _Line, moment: Placed | None) -> Document:
        """Convert a row to a document. Raises ValueError."""
        fields = line.fields
        content = _CONTENTS.get(fields["event"])
        if content is None:
            raise ValueError(f"Unknown event type {fields['event']!r}")
        if moment is None:
            raise ValueError(f"Bad timestamp {fields['time']!r}: it must look like 2024-01-31T13:05:00")
        device = {"device": fields["device"]} if fields["device"] else {}
        offset = (moment.time.utcoffset() or timedelta()) // timedelta(minutes=1)
        document = {"app": APP, "date": _milliseconds(moment.time), "utcOffset": offset, **device, **content(self, fields)}
        if fields["event"] == "EGV":
            self._check_collision(line, document)
        return document | self._name(fields["event"], document)

    def _check_collision(self, line: _Line, document: Document) -> None:
        """Raise ValueError if an earlier line has another reading of the same device and time."""
        key = (line.fields["device"], document["date"])
        number, value = self._readings.setdefault(key, (line.number, document["sgv"]))
        if value != document["sgv"]:
            raise ValueError(
                f"It is of the same time and device as line {number}, which says {value} mg/dL, not {document['sgv']}"
            )

    def _name(self, event: str, document: Document) -> Document:
        """Return an `identifier` if the default one, made of device, date and event type, could be that of another row.

        A calibration can have the same second as a reading, and a person may record two meals in the same minute.
        """
        if event == "EGV":
            return {}
        key = f"clarity-{event.lower()}-{document.get('device', '')}-{document['date']}"
        self._named[key] += 1
        number = self._named[key]
        if event != "Calibration" and number == 1:
            return {}
        return {"identifier": key if number == 1 else f"{key}-{number}"}

    def _mgdl(self, text: str) -> int:
        """Convert a reading to mg/dL. Raises ValueError."""
        beyond = BEYOND.get(text.lower())
        if beyond is not None:
            return beyond
        value = _number(text, "glucose value")
        if not value:
            raise ValueError(f"Bad glucose value {text!r}")
        return round(self._in_mg(value))

    def _in_mg(self, value: float) -> float:
        return value * (MG_PER_MMOL if self._unit == "mmol/L" else 1)

    def _reading(self, fields: _Fields) -> Document:
        return {"type": "sgv", "sgv": self._mgdl(fields["glucose"]), "units": "mg/dl"}

    def _calibration(self, fields: _Fields) -> Document:
        return {"type": "mbg", "mbg": self._mgdl(fields["glucose"]), "units": "mg/dl"}

    def _insulin(self, fields: _Fields) -> Document:
        """Return the fields of an insulin row. Long-acting insulin goes into `notes`: apps count `insulin` as a bolus."""
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
        """Return the settings of one alert: glucose in mg/dL, delay in minutes, rate in mg/dL per minute."""
        alert: Document = {"name": fields["subtype"]}
        if fields["glucose"]:
            alert["glucose"] = self._mgdl(fields["glucose"])
        if fields["duration"]:
            alert["minutes"] = _minutes(fields["duration"])
        if fields["rate"]:
            alert["rate"] = round(self._in_mg(_number(fields["rate"], "rate of change")), 2)
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


def _times(lines: Sequence[_Line], zone: tzinfo) -> dict[int, Placed]:
    """Map the numbers of the lines that have a time to their moments."""
    found = {line.number: time for line in lines if (time := _time(line.fields["time"])) is not None}
    local = [line for line in lines if line.number in found and found[line.number].tzinfo is None]
    known = [Local(found[line.number], line.fields["device"], line.fields["event"] == "EGV") for line in local]
    placed = {line.number: moment for line, moment in zip(local, moments(known, zone), strict=True)}
    return {number: placed.get(number, Placed(time, certain=True)) for number, time in found.items()}


def _time(text: str) -> datetime | None:
    """Parse `2024-01-31T13:05:00`. A blank may replace the T, the hour may have one digit, and seconds may be missing."""
    if (match := _TIME.fullmatch(text)) is None:
        return None
    day, clock, offset = match.groups()
    date = "-".join(part.zfill(2) for part in day.split("-"))
    try:
        return datetime.fromisoformat(f"{date}T{clock if clock[2] == ':' else '0' + clock}{offset or ''}".upper())
    except ValueError:
        return None


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _glucose(text: str) -> float | None:
    """Return the number in a cell, in the unit of the file; None if the cell is empty or holds no valid number."""
    try:
        return _number(text, "glucose value") or None
    except ValueError:
        return None


def _number(text: str, what: str) -> float:
    """Parse a number with a decimal point or comma. Raises ValueError, also for a number that cannot be an amount."""
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        raise ValueError(f"Bad {what} {text!r}: it must be a number") from None
    if not 0 <= value < 1e6:
        raise ValueError(f"Bad {what} {text!r}")
    return int(value) if value == int(value) else value


def _minutes(text: str) -> float:
    """Convert a duration such as `0:20:00` to minutes; a colon or comma may follow it. Raises ValueError."""
    parts = text.rstrip(":,").split(":")
    if len(parts) != 3 or not all(part.isdigit() for part in parts):
        raise ValueError(f"Bad duration {text!r}: it must look like 0:20:00")
    hours, minutes, seconds = map(int, parts)
    total = hours * 60 + minutes + seconds / 60
    return int(total) if total == int(total) else round(total, 2)
