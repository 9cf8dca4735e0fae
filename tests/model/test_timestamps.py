"""Points in time: every form that clients send, their bounds, and what is none."""

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apiv3.model import timestamps
from apiv3.model.timestamps import EPOCH_2000, LAST, LAST_DATE, Moment

SEPTEMBER = 1_600_087_000_000  # 2020-09-14T12:36:40Z

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = 86_400_000

milliseconds = st.integers(EPOCH_2000, LAST)
seconds = st.integers(EPOCH_2000 // 1000, LAST // 1000)
offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59)


@pytest.mark.parametrize(
    ("value", "ms", "offset"),
    [
        # numbers
        (SEPTEMBER, SEPTEMBER, None),
        (SEPTEMBER + 123, SEPTEMBER + 123, None),
        (float(SEPTEMBER), SEPTEMBER, None),
        (SEPTEMBER + 0.75, SEPTEMBER, None),
        (1_600_087_000, SEPTEMBER, None),
        (1_600_087_000.25, SEPTEMBER + 250, None),
        # numbers as text
        ("1600087000000", SEPTEMBER, None),
        ("1600087000", SEPTEMBER, None),
        ("1600087000.25", SEPTEMBER + 250, None),
        (" 1600087000000 ", SEPTEMBER, None),
        # ISO 8601
        ("2020-09-14T12:36:40Z", SEPTEMBER, 0),
        ("2020-09-14T12:36:40.123Z", SEPTEMBER + 123, 0),
        ("2020-09-14T12:36:40.1Z", SEPTEMBER + 100, 0),
        ("2020-09-14T12:36:40,123456789Z", SEPTEMBER + 123, 0),
        ("2020-09-14T12:36:40.1234567890123Z", SEPTEMBER + 123, 0),
        ("20200914T123640Z", SEPTEMBER, 0),
        ("20200914T143640.5+0200", SEPTEMBER + 500, 120),
        ("2020-09-14t12:36:40z", SEPTEMBER, 0),
        ("2020-09-14 12:36:40Z", SEPTEMBER, 0),
        ("2020-09-14T12:36:40", SEPTEMBER, None),
        ("2020-09-14T12:36", SEPTEMBER - 40_000, None),
        ("2020-09-14T12Z", SEPTEMBER - 36 * 60_000 - 40_000, 0),
        ("2020-09-14", 1_600_041_600_000, None),
        ("2020-09-14T14:36:40+02:00", SEPTEMBER, 120),
        ("2020-09-14T14:36:40 02:00", SEPTEMBER, 120),  # an unescaped plus in a query
        ("2020-09-14T14:36:40+0200", SEPTEMBER, 120),
        ("2020-09-14T14:36:40+02", SEPTEMBER, 120),
        ("2020-09-14T09:06:40-03:30", SEPTEMBER, -210),
        ("2020-09-14T24:00:00Z", 1_600_128_000_000, 0),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000, 0),
        ("2020-02-29T00:00:00Z", 1_582_934_400_000, 0),
        # RFC 2822 and HTTP-date
        ("Mon, 14 Sep 2020 12:36:40 GMT", SEPTEMBER, 0),
        ("Mon, 14 Sep 2020 14:36:40 +0200", SEPTEMBER, 120),
        ("14 Sep 2020 12:36:40 +0000", SEPTEMBER, 0),
        ("Monday, 14-Sep-20 12:36:40 GMT", SEPTEMBER, 0),
        # the bounds
        (EPOCH_2000, EPOCH_2000, None),
        (EPOCH_2000 // 1000, EPOCH_2000, None),
        ("2000-01-01T00:00:00Z", EPOCH_2000, 0),
        ("1999-12-31T23:30:00-00:30", EPOCH_2000, -30),
        (LAST, LAST, None),
        (LAST // 1000, LAST - 999, None),
        ("9999-12-31T23:59:59.999Z", LAST, 0),
    ],
)
def test_a_timestamp(value: object, ms: int, offset: int | None) -> None:
    assert timestamps.parse(value) == Moment(ms, offset)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        [],
        {},
        b"1600087000000",
        "",
        " ",
        "yesterday",
        "now",
        # before 2000, after 9999, and in the gap between seconds and milliseconds
        0,
        -1,
        EPOCH_2000 // 1000 - 1,
        EPOCH_2000 - 1,
        LAST // 1000 + 1,
        LAST + 1,
        2**63,
        10**400,
        float("nan"),
        float("inf"),
        "1999-12-31T23:59:59.999Z",
        "2000-01-01T00:30:00+01:00",
        "Fri, 31 Dec 1999 23:59:59 GMT",
        "9999-12-31T24:00:00Z",
        "9999-12-31T23:59:60Z",
        "9999-12-31T23:30:00-01:00",
        # no such day or time
        "2020-13-01",
        "2020-02-30",
        "2019-02-29T00:00:00Z",
        "2020-09-14T25:00:00Z",
        "2020-09-14T24:00:01Z",
        "2020-09-14T12:60:00Z",
        "2020-09-14T12:36:61Z",
        "2020-09-14T12:36:40+24:00",
        "0000-01-01",
        # other spellings
        "1e12",
        "0x174a5c1f7d8",
        "+1600087000000",
        "1_600_087_000_000",
        "١٦٠٠٠٨٧٠٠٠٠٠٠",
        "2020-9-14",
        "20-09-14",
        "2020-09-14T12:36:40Zoo",
        "2020-09-14T12:36:40Z" + " " * 100 + "x",
        "Mon, 01 Jan 2020 00:00:00 +99999999999999999999999",
        "9" * 10_000,
    ],
)
def test_no_timestamp(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        timestamps.parse(value)


@given(milliseconds)
def test_milliseconds_and_iso_mean_the_same(ms: int) -> None:
    text = timestamps.iso(ms)
    assert len(text) == len("2020-09-14T12:36:40.000Z")
    assert timestamps.parse(ms) == timestamps.parse(str(ms)) == Moment(ms, None)
    assert timestamps.parse(text) == Moment(ms, 0)


@given(seconds)
def test_seconds_mean_the_same_as_milliseconds(second: int) -> None:
    assert timestamps.parse(second) == timestamps.parse(str(second)) == timestamps.parse(second * 1000)
    assert timestamps.parse(timestamps.http_date(second).decode()) == Moment(second * 1000, 0)


@given(milliseconds, milliseconds)
def test_iso_texts_sort_as_the_moments_do(one: int, other: int) -> None:
    assert (timestamps.iso(one) < timestamps.iso(other)) == (one < other)


@given(st.integers(EPOCH_2000, LAST_DATE))
def test_every_date_of_a_document_is_understood_as_it_is_written(ms: int) -> None:
    text = timestamps.iso(ms)
    assert timestamps.parse(text).ms == ms
    assert (len(text) == len("2020-09-14T12:56:40.000Z")) == (ms <= LAST)


@pytest.mark.parametrize(
    "text",
    [
        "+275760-09-13T00:00:00.001Z",
        "+002024-01-01",
        "+2024-01-01",
        "-010000-01-01",
        "+012345",
        "+010001-02-29",
        "+999999-01-01",
    ],
)
def test_what_is_no_date_after_9999(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (the reason does not matter)
        timestamps.parse(text)


@given(st.integers(EPOCH_2000, LAST - DAY), offsets)
def test_an_offset_is_honoured_and_kept(ms: int, offset: int) -> None:
    local = (EPOCH + timedelta(milliseconds=ms)).astimezone(timezone(timedelta(minutes=offset)))
    assert timestamps.parse(local.isoformat()) == Moment(ms, offset)
    seconds = local.replace(microsecond=0)
    assert timestamps.parse(format_datetime(seconds)) == Moment(ms // 1000 * 1000, offset)


@given(st.text() | st.text("0123456789-:.TZ+ ,GMTSep", max_size=40) | st.floats() | st.integers())
@example("9999-12-31T24:00:00Z")
@example("Mon, 01 Jan 2020 00:00:00 +99999999999999999999999")
@example("1 Jan 2020 0:0:0 +" + "9" * 40)
def test_whatever_comes_is_a_timestamp_in_range_or_a_value_error(value: object) -> None:
    try:
        moment = timestamps.parse(value)
    except ValueError:
        return
    assert EPOCH_2000 <= moment.ms <= LAST
