"""Times as texts: whatever is accepted means what another program reads in it, or what the test wrote."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from dateutil import parser
from hypothesis import assume, example, given
from hypothesis import strategies as st

from apiv3.model import timestamps
from apiv3.model.timestamps import EPOCH_2000, LAST, Moment, TooEarly

MARCH = 1_709_629_200_000  # 2024-03-05T09:00:00Z, a Tuesday
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
LONG_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
ZONES = {
    "UT": 0,
    "GMT": 0,
    "UTC": 0,
    "Z": 0,
    "EST": -5,
    "EDT": -4,
    "CST": -6,
    "CDT": -5,
    "MST": -7,
    "MDT": -6,
    "PST": -8,
    "PDT": -7,
}


def test_what_is_read() -> None:
    hour = 3_600_000
    assert {text: timestamps.parse(text) for text in READ} == {
        text: Moment(MARCH + shift * hour, offset) for text, (shift, offset) in READ.items()
    }


READ: dict[str, tuple[int, int | None]] = {
    # JavaScript, whatever the name of the zone is
    "Tue Mar 05 2024 10:00:00 GMT+0100 (CET)": (0, 60),
    "Tue Mar 05 2024 10:00:00 GMT+0100": (0, 60),
    "Tue Mar 05 2024 10:00:00 GMT+0100 (Central European Standard Time)": (0, 60),
    "Tue Mar 05 2024 10:00:00 GMT+0100 (Mitteleuropäische Normalzeit)": (0, 60),
    "Tue Mar 05 2024 10:00:00 GMT+0100 (中欧标准时间)": (0, 60),
    "Tue Mar 05 2024 10:00:00 GMT+0100 (EST)": (0, 60),
    "Tue Mar 05 2024 09:00:00 GMT+0000 (Coordinated Universal Time)": (0, 0),
    "Tue Mar 05 2024 04:00:00 GMT-0500 (EST)": (0, -300),
    "Tue Mar 05 2024 14:30:00 GMT+0530 (India Standard Time)": (0, 330),
    "Tue Mar 05 2024 05:30:00 GMT-0330 (NST)": (0, -210),
    # the three forms of HTTP
    "Tue, 05 Mar 2024 09:00:00 GMT": (0, 0),
    "Tuesday, 05-Mar-24 09:00:00 GMT": (0, 0),
    "Tue Mar  5 09:00:00 2024": (0, None),
    "Tue Mar 05 09:00:00 2024": (0, None),
    # mail
    "Tue, 5 Mar 2024 10:00:00 +0100": (0, 60),
    "Tue, 5 Mar 2024 10:00:00 +0100 (CET)": (0, 60),
    "5 Mar 2024 10:00 +0100": (0, 60),
    "05  Mar\t2024 10:00:00  +0100": (0, 60),
    "tue,5 mar 2024 09:00:00 gmt": (0, 0),
    "5 Mar 24 09:00:00 UT": (0, 0),
    "Tue, 05 Mar 2024 09:00:00 -0000": (0, 0),
    "Tue, 05 Mar 2024 09:00:00 UTC": (0, 0),
    "Tue, 05 Mar 2024 09:00:00 Z": (0, 0),
    "Tue, 05 Mar 2024 04:00:00 EST": (0, -300),
    "Tue, 05 Mar 2024 05:00:00 EDT": (0, -240),
    "Tue, 05 Mar 2024 03:00:00 CST": (0, -360),
    "Tue, 05 Mar 2024 04:00:00 CDT": (0, -300),
    "Tue, 05 Mar 2024 02:00:00 MST": (0, -420),
    "Tue, 05 Mar 2024 03:00:00 MDT": (0, -360),
    "Tue, 05 Mar 2024 01:00:00 PST": (0, -480),
    "Tue, 05 Mar 2024 02:00:00 PDT": (0, -420),
    # ISO 8601
    "2024-03-05T10:00+01": (0, 60),
    "2024-03-05 10:00:00 +0100": (0, 60),
    "20240305T1000+0100": (0, 60),
    "2024-03-05T10:00 01:00": (0, 60),  # an unescaped plus in a query
    "2024-03-05T10:00:00  0100": (0, 60),  # the same after a blank
    "2024-03-04T24:00Z": (-9, 0),
}


@pytest.mark.parametrize(
    "text",
    [
        # zones that nobody defines, or more than one does
        *(
            f"Tue, 05 Mar 2024 10:00:00 {zone}"
            for zone in ("CET", "CEST", "BST", "IST", "JST", "MEZ", "WET", "AEST", "HST", "X")
        ),
        *(f"Tue, 05 Mar 2024 10:00:00 {letter}" for letter in "ABCDEFGHIKLMNOPQRSTUVWXYabj"),
        *(
            f"Tue, 05 Mar 2024 10:00:00 {zone}"
            for zone in (
                "UTC+0100",
                "GMT+01:00",
                "GMT+0100",
                "UTC+1",
                "+01:00",
                "+1",
                "+100",
                "Europe/Berlin",
                "0100",
                "+0100 CET",
            )
        ),
        *(
            f"Tue Mar 05 2024 10:00:00{zone}"
            for zone in ("", " CET", " UTC+0100", " GMT+01:00", " GMT+1", " GMT", " UTC", " GMT 0100", " +0100", " (CET)")
        ),
        "Tue Mar 05 10:00:00 CET 2024",
        "Tue Mar 05 10:00:00 GMT 2024",
        "Tue Mar 5 10:00:00 UTC+0100 2024",
        "2024-03-05T10:00:00 CET",
        "2024-03-05T10:00:00Z+01:00",
        "2024-03-05T10:00:00+01:00[Europe/Berlin]",
        # halves of the day
        "Mar 5, 2024, 10:00:00 PM",
        "Mar 5, 2024, 10:00:00 AM",
        "Tue, 05 Mar 2024 10:00:00 PM GMT",
        "Tue, 05 Mar 2024 10:00:00 PM",
        "Tue, 05 Mar 2024 10:00 AM +0100",
        "3/5/2024, 10:00:00 PM",
        "2024-03-05 10:00:00 PM",
        "2024-03-05 10:00 pm",
        # no such offset
        "Tue, 05 Mar 2024 10:00:00 +0590",
        "Tue, 05 Mar 2024 10:00:00 +2400",
        "Tue Mar 05 2024 10:00:00 GMT+0160 (CET)",
        "2024-03-05T10:00:00+05:90",
        "2024-03-05T10:00:00+0560",
        "2024-03-05T10:00:00-24:00",
        "2024-03-05T10:00 01:60",
        # no such year, day or time of day
        "Fri, 05 Mar 0001 10:00:00 GMT",
        "05 Mar 0001 10:00:00 GMT",
        "05 Mar 0024 10:00:00 GMT",
        "05 Mar 124 10:00:00 GMT",
        "05 Mar 12024 10:00:00 GMT",
        "0001-01-01T00:00:00Z",
        "Thu, 30 Feb 2024 10:00:00 GMT",
        "Thu, 29 Feb 2023 10:00:00 GMT",
        "Tue, 05 Mar 2024 24:00:00 GMT",
        "Tue, 05 Mar 2024 10:60:00 GMT",
        "Tue, 05 Mar 2024 10:00:60 GMT",
        "2024-03-05T10:00:60Z",
        "2024-03-05T24:00:00.5Z",
        # not the day of the week
        "Mon, 05 Mar 2024 09:00:00 GMT",
        "Monday, 05-Mar-24 09:00:00 GMT",
        "Wed Mar  5 09:00:00 2024",
        "Wed Mar 05 2024 10:00:00 GMT+0100 (CET)",
        # leftovers and other grammars
        "Tue, 05 Mar 2024 09:00:00 GMT x",
        "Tue, 05 Mar 2024 09:00:00 GMT, 05 Mar 2024 09:00:00 GMT",
        "x Tue, 05 Mar 2024 09:00:00 GMT",
        "Tue, 05 Mar 2024 09:00:00",
        "05 Mar 2024 09:00:00",
        "Tue, 05 Mar 2024",
        "Tue Mar 05 2024",
        "Tue, 05-Mar-2024 09:00:00 GMT",
        "Tuesday, 05-Mar-2024 09:00:00 GMT",
        "Tuesday, 05 Mar 2024 09:00:00 GMT",
        "Tue, 05 March 2024 09:00:00 GMT",
        "Tue, 05 Mar 2024 9:00:00 GMT",
        "Tue, 05 Mar 2024 09:00:00.5 GMT",
        "Tue, 05 Mar 2024 09.00.00 GMT",
        "Di, 05 Mär 2024 09:00:00 GMT",
        "Tue, 05 Mar 2024 09:00:00 GMT (open",
        "Tue Mar 05 2024 10:00:00 GMT+0100 (CET) x",
        "Tue Mar  5 09:00:00 2024 GMT",
        "2024-03-05 10:00 11:00",
        "2024-03-05T10:0000Z",
        "2024-03-05T1000:00Z",
        "2024-03T10:00:00Z",
        "2024-03-05T10:00:00 02",
        "2024-W10-2",
        "2024-065",
        "20240305",
        "05.03.2024 10:00",
        "2024/03/05",
        "٢٠٢٤-٠٣-٠٥",
        "Tue Mar 05 2024 10:00:00 GMT+0100 (" + "x" * 200 + ")",
    ],
)
def test_what_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        timestamps.parse(text)


def test_leap_seconds_end_the_day_in_utc() -> None:
    new_year = 1_483_228_800_000
    for text in (
        "Sat, 31 Dec 2016 23:59:60 GMT",
        "2016-12-31T23:59:60Z",
        "2017-01-01T00:59:60+01:00",
        "1 Jan 2017 00:59:60 +0100",
    ):
        assert timestamps.parse(text).ms == new_year
    assert timestamps.parse("2016-12-31T23:59:60.5Z").ms == new_year + 500


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1999-12-31T23:59:59Z", EPOCH_2000 - 1000),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Thursday, 01-Jan-99 00:00:00 GMT", None),
        ("5 Mar 50 10:00:00 GMT", datetime(1950, 3, 5, 10, tzinfo=UTC).timestamp() * 1000),
        ("Friday, 01-Jan-99 00:00:00 GMT", datetime(1999, 1, 1, tzinfo=UTC).timestamp() * 1000),
    ],
)
def test_what_is_before_the_year_2000(text: str, ms: int | None) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        timestamps.parse(text)
    assert (refusal.value.ms if isinstance(refusal.value, TooEarly) else None) == ms


# --- properties

instants = st.integers(EPOCH_2000 // 1000 + 86_400, LAST // 1000 - 86_400)
minutes = st.integers(-23 * 60 - 59, 23 * 60 + 59)
Render = Callable[[datetime], str]


def signed(local: datetime, colon: str = "") -> str:
    offset = (local.utcoffset() or timedelta()) // timedelta(minutes=1)
    return f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02}{colon}{abs(offset) % 60:02}"


def clock(local: datetime) -> str:
    return f"{local.hour:02}:{local.minute:02}:{local.second:02}"


def day(local: datetime) -> str:
    return f"{local.year:04}-{local.month:02}-{local.day:02}"


LOCAL: dict[str, Render] = {
    "JavaScript": lambda at: (
        f"{DAYS[at.weekday()]} {MONTHS[at.month - 1]} {at.day:02} {at.year:04} {clock(at)} GMT{signed(at)} (A Zone's Name)"
    ),
    "mail": format_datetime,
    "mail, short": lambda at: f"{at.day} {MONTHS[at.month - 1]} {at.year:04} {clock(at)} {signed(at)} (ZONE)",
    "ISO": lambda at: f"{day(at)}T{clock(at)}{signed(at, ':')}",
    "ISO, blanks": lambda at: f"{day(at)} {clock(at)} {signed(at)}",
    "ISO, basic": lambda at: f"{day(at)}T{clock(at)}".replace("-", "").replace(":", "") + signed(at),
}
UNIVERSAL: dict[str, Render] = {
    "HTTP": lambda at: format_datetime(at, usegmt=True),
    "asctime": lambda at: f"{DAYS[at.weekday()]} {MONTHS[at.month - 1]} {at.day:2} {clock(at)} {at.year:04}",
    "ISO, no zone": lambda at: f"{day(at)}T{clock(at)}",
    "ISO, Z": lambda at: f"{day(at)}T{clock(at)}Z",
}


@given(instants, minutes, st.sampled_from(sorted(LOCAL)))
def test_a_local_time_is_read_as_it_was_written(second: int, offset: int, form: str) -> None:
    local = (EPOCH + timedelta(seconds=second)).astimezone(timezone(timedelta(minutes=offset)))
    assert timestamps.parse(LOCAL[form](local)) == Moment(second * 1000, offset)


@given(instants, st.sampled_from(sorted(UNIVERSAL)))
def test_a_time_in_utc_is_read_as_it_was_written(second: int, form: str) -> None:
    found = timestamps.parse(UNIVERSAL[form](EPOCH + timedelta(seconds=second)))
    assert (found.ms, found.offset or 0) == (second * 1000, 0)


@given(instants, st.sampled_from(sorted(ZONES)))
def test_a_zone_by_its_name_is_read_as_it_was_written(second: int, name: str) -> None:
    local = (EPOCH + timedelta(seconds=second)).astimezone(timezone(timedelta(hours=ZONES[name])))
    assert timestamps.parse(f"{format_datetime(local)[:-5]}{name}") == Moment(second * 1000, ZONES[name] * 60)


@given(st.integers(EPOCH_2000 // 1000, 2_500_000_000))
def test_a_year_of_two_digits(second: int) -> None:
    at = EPOCH + timedelta(seconds=second)
    text = f"{LONG_DAYS[at.weekday()]}, {at.day:02}-{MONTHS[at.month - 1]}-{at.year % 100:02} {clock(at)} GMT"
    assert timestamps.parse(text) == Moment(second * 1000, 0)
    assert timestamps.parse(f"{at.day} {MONTHS[at.month - 1]} {at.year % 100:02} {clock(at)} GMT") == Moment(second * 1000, 0)


@given(st.integers(EPOCH_2000 // 1000, LAST // 1000), st.integers(0, 999))
def test_fractions_of_a_second_are_exact(second: int, milli: int) -> None:
    assert timestamps.parse(f"{second}.{milli:03}").ms == second * 1000 + milli
    assert timestamps.parse(f"{second}.{milli:03}999").ms == second * 1000 + milli
    if second < 2**32:  # a float has room for it
        assert timestamps.parse(float(f"{second}.{milli:03}")).ms == second * 1000 + milli


# What another program makes of a text that is nearly a time.

PIECES = [
    " AM",
    " PM",
    " CET",
    " GMT",
    " UTC",
    " BST",
    "+0100",
    " (CET)",
    "Z",
    "T",
    ":00",
    ".5",
    ",",
    "1",
    "-",
    " ",
    "x",
    "+",
    "0",
]
written = st.builds(
    lambda form, second, offset: {**LOCAL, **UNIVERSAL}[form](
        (EPOCH + timedelta(seconds=second)).astimezone(timezone(timedelta(minutes=offset if form in LOCAL else 0)))
    ),
    st.sampled_from(sorted({**LOCAL, **UNIVERSAL})),
    instants,
    minutes,
)


@st.composite
def distorted(draw: st.DrawFn) -> str:
    """A written time with something put in, left out or put in the place of something else."""
    text = draw(written)
    for _ in range(draw(st.integers(1, 2))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 5)))
        text = text[:start] + draw(st.sampled_from(["", *PIECES]) | st.text("0123456789 :-+", max_size=3)) + text[end:]
    return text


def elsewhere(text: str) -> int:
    """The same by python-dateutil, in ms. It does not know that a comment says nothing, that a blank stands for a plus in a
    query, nor JavaScript's form: in that it takes the sign of an offset behind GMT for its opposite, as POSIX has it.
    """
    text = re.sub(r"\([^()]*\)$", "", text.strip())
    text = re.sub(r"^(\w{3} \w{3} \d\d \d{4} [\d:]{8}) GMT([+-]\d{4})$", r"\1 \2", text.rstrip())
    text = re.sub(r"(?<=\d) {1,2}(\d\d:?\d\d)$", r"+\1", text) if re.match(r"\d{4}-?\d\d-?\d\d[Tt]", text) else text
    zones = {name: hours * 3600 for name, hours in ZONES.items()}
    moment = parser.parse(
        text, default=datetime(2000, 1, 1, tzinfo=UTC), tzinfos=zones | {n.lower(): s for n, s in zones.items()}
    )
    return (moment - EPOCH) // timedelta(milliseconds=1)


@given(distorted() | written)
@example("Mar 5, 2024, 10:00:00 PM")
@example("Tue Mar 05 2024 10:00:00 GMT+0100 (CET)")
def test_whatever_is_accepted_means_the_same_elsewhere(text: str) -> None:
    assume(":60" not in text and "T24" not in text and " 24:" not in text)  # it knows neither
    try:
        found = timestamps.parse(text)
    except ValueError:
        return
    if not re.fullmatch(r"\s*[\d.]+\s*", text):
        assert found.ms == elsewhere(text)
