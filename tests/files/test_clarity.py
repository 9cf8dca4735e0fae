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


def documents(*rows: str, **options: Any) -> list[Any]:
    return [each.item for each in read(*rows, **options)]


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


@pytest.mark.parametrize(
    ("text", "minute"),
    [
        ("2024-01-31 0:01:47", (0, 1, 47)),
        ("2024-01-31T9:05", (9, 5, 0)),
        ("2024-01-31 23:59", (23, 59, 0)),
        ("2024-1-31 7:08:09", (7, 8, 9)),
        ("2024-01-31T07:08:09.000", (7, 8, 9)),
        ("2024-01-31T07:08:09Z", (7, 8, 9)),
        ("2024-01-31T08:08:09+01:00", (7, 8, 9)),
    ],
)
def test_forms_of_a_time(text: str, minute: tuple[int, int, int]) -> None:
    [found] = documents(row(text, "EGV", glucose="100"))
    assert found["date"] == int(datetime(2024, 1, 31, *minute, tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize(
    "text", ["2024-01-31", "2024-01-31 24:00", "2024-01-31 9:05 PM", "1/31/2024 9:05", "2024-02-30 9:05", "2024-01-31T0905"]
)
def test_what_is_no_time(text: str) -> None:
    [found] = read(row(text, "EGV", glucose="100"))
    assert str(found.item).startswith(f"Bad timestamp {text!r}")


def test_rows_about_the_person_and_the_devices_are_left_out() -> None:
    lines = [row("", kind, more="secret,,,") for kind in ("FirstName", "Device", "Sensor", "PatientIdentifier", "Anything")]
    assert len(documents(*lines, row(NOON, "EGV", glucose="100"))) == 1
    [found] = read(row(NOON, "", glucose="100"))
    assert str(found.item) == "Unknown event type ''"


# --- units


def read_with(header: str, *rows: str) -> list[Record]:
    return list(clarity.read(io.BufferedReader(io.BytesIO("\n".join([header, *rows]).encode())), UTC))


def test_the_unit_is_that_of_any_column() -> None:
    header = HEADER.replace("Glucose Value ({})", "Glucose Value").format("mmol/L")
    [reading, alert] = [
        each.item for each in read_with(header, row(NOON, "EGV", glucose="5.8"), row("", "Alert", "Rise", more=",,,0.1"))
    ]
    assert not isinstance(reading, ApiError)
    assert not isinstance(alert, ApiError)
    assert reading["sgv"] == 104
    assert alert["alerts"] == [{"name": "Rise", "rate": 1.8}]
    assert clarity.unit(header) == "mmol/L"


@pytest.mark.parametrize(
    ("value", "rate", "glucose", "reason"),
    [
        ("Glucose Value", "Glucose Rate of Change", "5.8", "names no unit of glucose"),
        ("Glucose Value (mg/dL)", "Glucose Rate of Change (mmol/L/min)", "100", "names two units of glucose"),
        (
            "Glucose Value (mg/dL)",
            "Glucose Rate of Change (mg/dL/min)",
            "5.8",
            "says mg/dL, and line 3 says 5.8, which cannot be",
        ),
        (
            "Glucose Value (mmol/L)",
            "Glucose Rate of Change (mmol/L/min)",
            "105",
            "says mmol/L, and line 3 says 105, which cannot",
        ),
    ],
)
def test_a_file_whose_unit_is_not_certain_is_refused(value: str, rate: str, glucose: str, reason: str) -> None:
    header = HEADER.replace("Glucose Value ({})", value).replace("Glucose Rate of Change ({}/min)", rate)
    rows = clarity.read(
        io.BufferedReader(io.BytesIO("\n".join([header, row(NOON, "Health"), row(NOON, "EGV", glucose=glucose)]).encode())), UTC
    )
    with pytest.raises(Malformed, match=reason):
        next(rows)  # before anything of it is stored


# --- the hour that comes twice


def night(*times: str, device: str = "G6") -> list[str]:
    """Readings of the night in which the clocks of Berlin went back; each a number apart, to tell them apart."""
    return [
        row(f"2024-10-27T{time}:00", "EGV", glucose=f"{100 + place}").replace("G6", device) for place, time in enumerate(times)
    ]


def clocks(*lines: str) -> list[str]:
    """The times in UTC, in the order of the lines."""
    found = sorted(read(*lines, zone=BERLIN), key=lambda each: each.place)
    assert not any(isinstance(each.item, ApiError) for each in found)
    return [f"{datetime.fromtimestamp(each.item['date'] / 1000, UTC):%H:%M}" for each in found if isinstance(each.item, dict)]


WHOLE = ["01:55", "02:00", "02:30", "02:55", "02:00", "02:30", "02:55", "03:00"]
IN_UTC = ["23:55", "00:00", "00:30", "00:55", "01:00", "01:30", "01:55", "02:00"]


def test_a_file_with_the_newest_first() -> None:
    assert clocks(*night(*WHOLE)) == IN_UTC
    assert clocks(*reversed(night(*WHOLE))) == IN_UTC[::-1]


@pytest.mark.parametrize("other", ["Calibration", "Carbs", "Insulin"])
def test_what_stands_out_of_order_shifts_no_reading(other: str) -> None:
    extra = row("2024-10-27T02:10:00", other, "Fast-Acting", glucose="99", more="1,1,,")
    for place in range(2, 4):
        lines = night(*WHOLE)
        lines.insert(place, extra)
        expected = [*IN_UTC]
        expected.insert(place, "00:10")
        assert clocks(*lines) == expected
        assert clocks(*reversed(lines)) == expected[::-1]
    lines = night(*WHOLE)
    lines.insert(6, extra)
    assert clocks(*lines)[6] == "01:10"


def test_each_device_has_an_hour_of_its_own() -> None:
    one, other = night(*WHOLE), night(*WHOLE, device="G7")
    together = [line for pair in zip(one, other, strict=True) for line in pair]
    assert clocks(*together) == [time for time in IN_UTC for _ in range(2)]
    assert clocks(*one, *other) == IN_UTC * 2
    assert clocks(*one, *reversed(other)) == IN_UTC + IN_UTC[::-1]


def notes(*lines: str) -> list[tuple[int, str]]:
    return [(each.place, note) for each in read(*lines, zone=BERLIN) for note in each.notes]


def test_one_of_the_two_hours_without_readings() -> None:
    """It is the one on which the readings go on; where that is no answer, it is told."""
    assert clocks(*night("01:50", "01:55", "02:00", "02:30", "04:00")) == ["23:50", "23:55", "00:00", "00:30", "03:00"]
    assert clocks(*night("00:00", "02:30", "02:55", "03:00")) == ["22:00", "01:30", "01:55", "02:00"]
    assert notes(*night("00:00", "02:30", "02:55", "03:00"), *night(*WHOLE, device="G7")) == []
    assert notes(*night("01:55", "02:00", "02:55", "03:00")) == [
        (3, "2024-10-27 02:00:00 came twice, as the clocks went back; it is stored as the first"),
        (4, "2024-10-27 02:55:00 came twice, as the clocks went back; it is stored as the first"),
    ]
    assert len(notes(row("2024-10-27T02:10:00", "Carbs", more=",5,,"))) == 1


def test_readings_of_one_moment_that_differ_are_told() -> None:
    same = row(NOON, "EGV", glucose="100")
    found = read(same, row(NOON, "EGV", glucose="140"), same, row(NOON, "EGV", glucose="90").replace("G6", "G7"))
    assert [isinstance(each.item, ApiError) for each in found] == [False, True, False, False]
    assert str(found[1].item) == "It is of the same time and device as line 2, which says 100 mg/dL, not 140"


def test_what_is_such_an_export() -> None:
    assert clarity.is_clarity(HEADER.format("mg/dL", "mg/dL").encode("utf-8-sig"))
    assert not clarity.is_clarity(b"date,sgv\n1,2\n")
    assert not clarity.is_clarity(b"\xff\xfe\x00")


def test_a_file_that_is_no_text() -> None:
    with pytest.raises(Malformed, match="no CSV in UTF-8"):
        list(clarity.read(io.BufferedReader(io.BytesIO(HEADER.format("mg/dL", "").encode() + b"\n\xff,\xfe\n")), UTC))
