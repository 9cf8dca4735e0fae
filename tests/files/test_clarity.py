"""Exports of Dexcom Clarity: every kind of row, both units of glucose, local times, and what cannot be understood."""

import io
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from apiv3.files import clarity
from apiv3.files.records import Malformed, Record
from apiv3.model.documents import normalise
from apiv3.model.errors import ApiError

HEADER = (
    "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Event Subtype,Patient Info,Device Info,Source Device ID,"
    "Glucose Value ({}),Insulin Value (u),Carb Value (grams),Duration (hh:mm:ss),Glucose Rate of Change ({}/min)"
)
BERLIN = ZoneInfo("Europe/Berlin")


def row(time: str, event: str, subtype: str = "", *, glucose: str = "", more: str = ",,,") -> str:
    return f"1,{time},{event},{subtype},,,G6,{glucose},{more}"


def read(*rows: str, unit: str = "mg/dL", zone: Any = UTC) -> list[Record]:
    text = "\r\n".join([HEADER.format(unit, unit), *rows])
    return list(clarity.read(io.BufferedReader(io.BytesIO(text.encode("utf-8-sig"))), zone))


NOON = "2024-01-31T12:00:00"


@pytest.mark.parametrize(
    ("line", "collection", "content"),
    [
        (row(NOON, "EGV", glucose="103"), "entries", {"type": "sgv", "sgv": 103, "units": "mg/dl"}),
        (row(NOON, "EGV", glucose="Low"), "entries", {"type": "sgv", "sgv": 39, "units": "mg/dl"}),
        (row(NOON, "EGV", glucose="High"), "entries", {"type": "sgv", "sgv": 401, "units": "mg/dl"}),
        (
            row(NOON, "Calibration", glucose="98"),
            "entries",
            {"type": "mbg", "mbg": 98, "units": "mg/dl", "identifier": "clarity-calibration-G6-1706702400000"},
        ),
        (row(NOON, "Insulin", "Fast-Acting", more="3.5,,,"), "treatments", {"eventType": "Correction Bolus", "insulin": 3.5}),
        (
            row(NOON, "Insulin", "Long-Acting", more="12,,,"),
            "treatments",
            {"eventType": "Note", "notes": "Long-acting insulin: 12 U"},
        ),
        (row(NOON, "Carbs", more=",45,,"), "treatments", {"eventType": "Carb Correction", "carbs": 45}),
        (row(NOON, "Carbs", more=',"4,5",,'), "treatments", {"eventType": "Carb Correction", "carbs": 4.5}),
        (
            row(NOON, "Exercise", "Medium", more=",,0:30:00,"),
            "treatments",
            {"eventType": "Exercise", "notes": "Medium", "duration": 30},
        ),
        (row(NOON, "Health", "Illness"), "treatments", {"eventType": "Note", "notes": "Health: Illness"}),
        (row(NOON, "Alert", "Urgent Low"), "treatments", {"eventType": "Note", "notes": "Alert: Urgent Low"}),
    ],
)
def test_every_kind_of_row(line: str, collection: str, content: Any) -> None:
    [found] = read(line)
    assert (found.place, found.collection) == (2, collection)
    date = int(datetime(2024, 1, 31, 12, tzinfo=UTC).timestamp()) * 1000
    assert found.item == {"app": "apiv3 import", "date": date, "utcOffset": 0, "device": "G6", **content}


def test_rows_of_the_same_moment_stay_apart() -> None:
    """The server would take them for one: same device, date and event type."""
    lines = [
        row(NOON, "EGV", glucose="100"),
        row(NOON, "Calibration", glucose="98"),
        *(row(NOON, "Insulin", "Fast-Acting", more=f"{units},,,") for units in (1, 2, 2)),
        row(NOON, "Carbs", more=",45,,"),
    ]
    documents: list[Any] = [each.item for each in read(*lines)]
    assert len({normalise(each)["identifier"] for each in documents}) == len(lines)
    assert documents == [each.item for each in read(*lines)]


def test_a_file_that_a_spreadsheet_has_saved() -> None:
    """Where numbers have a comma, fields have semicolons between them."""
    lines = [row(NOON, "EGV", glucose="5.5"), row(NOON, "Insulin", "Fast-Acting", more="3.5,,,"), row("", "Alert", "Fall")]
    text = "\r\n".join([HEADER.format("mmol/L", "mmol/L"), *lines]).replace(",", ";").replace(".", ",")
    assert clarity.is_clarity(text.encode())
    found = list(clarity.read(io.BufferedReader(io.BytesIO(text.encode())), UTC))
    assert [each.item for each in found] == [each.item for each in read(*lines, unit="mmol/L")]


def test_a_column_is_missing() -> None:
    text = b"My Timestamp,Event Type,Event Subtype,Old Glucose Value\n1,EGV,,100\n"
    with pytest.raises(Malformed, match="its first line has no column Timestamp, Glucose Value"):
        list(clarity.read(io.BufferedReader(io.BytesIO(text)), UTC))


def test_a_column_is_missing_that_only_some_rows_need() -> None:
    text = b"Timestamp,Event Type,Glucose Value\n2024-01-31T12:00:00,Insulin,\n"
    [found] = clarity.read(io.BufferedReader(io.BytesIO(text)), UTC)
    assert str(found.item) == "Bad insulin value '': it must be a number"


@pytest.mark.parametrize(("mmol", "mg"), [("5.5", 99), ("5,5", 99), ("10", 180), ("2.2", 40), ("22.2", 400), ("low", 39)])
def test_mmol(mmol: str, mg: int) -> None:
    [found] = read(row(NOON, "EGV", glucose=f'"{mmol}"'), unit="mmol/L")
    assert not isinstance(found.item, ApiError)
    assert found.item["sgv"] == mg


def test_the_settings_of_alerts_become_one_document() -> None:
    """They have no time of their own, so they get that of the first reading."""
    alerts = [
        row("", "FirstName"),
        row("", "Alert", "Fall", more=",,,3"),
        row("", "Alert", "High", glucose="200"),
        row("", "Alert", "Signal Loss", more=',,"0:20:00,",'),
    ]
    reading, found = read(*alerts, row(NOON, "EGV", glucose="100"))
    assert not isinstance(reading.item, ApiError)
    assert (reading.place, found.place, found.collection) == (6, 3, "settings")
    assert found.item == {
        "identifier": "clarity-alerts-G6",
        "app": "apiv3 import",
        "device": "G6",
        "date": reading.item["date"],
        "alerts": [{"name": "Fall", "rate": 3}, {"name": "High", "glucose": 200}, {"name": "Signal Loss", "minutes": 20}],
    }
    assert read(*alerts) == []


def test_local_times() -> None:
    """The hour that comes twice in autumn is told apart by the order of the rows, the one that never comes is not lost."""
    times = ["10-27T01:55", "10-27T02:00", "10-27T02:50", "10-27T02:05", "10-27T02:50", "10-27T02:55", "10-27T03:00"]
    found = read(*(row(f"2024-{time}:00", "EGV", glucose="100") for time in times), zone=BERLIN)
    documents: Any = [each.item for each in found]
    moments = [f"{datetime.fromtimestamp(each['date'] / 1000, UTC):%H:%M}" for each in documents]
    assert moments == ["23:55", "00:00", "00:50", "01:05", "01:50", "01:55", "02:00"]
    assert [each["utcOffset"] for each in documents] == [120, 120, 120, 60, 60, 60, 60]
    spring: Any = [each.item for each in read(row("2024-03-31T02:30:00", "EGV", glucose="100"), zone=BERLIN)]
    assert f"{datetime.fromtimestamp(spring[0]['date'] / 1000, UTC):%H:%M}" == "01:30"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (row("31.1.2024", "EGV", glucose="100"), "Bad timestamp '31.1.2024'"),
        (row("", "EGV", glucose="100"), "Bad timestamp ''"),
        (row(NOON, "EGV", glucose="many"), "Bad glucose value 'many'"),
        (row(NOON, "EGV"), "Bad glucose value ''"),
        (row(NOON, "EGV", glucose="nan"), "Bad glucose value 'nan'"),
        (row(NOON, "Insulin", "Fast-Acting", more="-3,,,"), "Bad insulin value '-3'"),
        (row(NOON, "Exercise", more=",,half an hour,"), "Bad duration 'half an hour'"),
        (row(NOON, "Moonrise"), "Unknown event type 'Moonrise'"),
        ("1,2024-01-31T12:00:00,EGV", "Bad glucose value ''"),
    ],
)
def test_a_row_that_cannot_be_understood_is_refused_with_its_line(line: str, reason: str) -> None:
    bad, good = read(line, row(NOON, "EGV", glucose="100"))
    assert bad.place == 2
    assert isinstance(bad.item, ApiError)
    assert str(bad.item).startswith(reason)
    assert not isinstance(good.item, ApiError)


def test_what_is_such_an_export() -> None:
    assert clarity.is_clarity(HEADER.format("mg/dL", "mg/dL").encode("utf-8-sig"))
    assert not clarity.is_clarity(b"date,sgv\n1,2\n")
    assert not clarity.is_clarity(b"\xff\xfe\x00")


def test_a_file_that_is_no_text() -> None:
    with pytest.raises(Malformed, match="no CSV in UTF-8"):
        list(clarity.read(io.BufferedReader(io.BytesIO(HEADER.format("mg/dL", "").encode() + b"\n\xff,\xfe\n")), UTC))
