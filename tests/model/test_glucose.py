"""Glucose as people read it, in either unit, and what a day of it says."""

import pytest

from apiv3.model import overview
from apiv3.model.documents import MINUTE
from apiv3.model.glucose import MG_PER_MMOL, Unit, in_mgdl
from apiv3.model.overview import DAY, HOUR, Reading

NOW = 1_700_000_000_000


@pytest.mark.parametrize(
    ("mgdl", "mg", "mmol"),
    [
        (100, "100", "5.6"),
        (109, "109", "6.1"),
        (180, "180", "10.0"),
        (70, "70", "3.9"),
        (99, "99", "5.5"),
        (99.5, "100", "5.5"),
        (400, "400", "22.2"),
        (40, "40", "2.2"),
    ],
)
def test_both_units(mgdl: float, mg: str, mmol: str) -> None:
    assert (Unit.MGDL.text(mgdl), Unit.MMOL.text(mgdl)) == (mg, mmol)


@pytest.mark.parametrize("tenths", range(22, 333))
def test_what_came_in_mmol_is_shown_as_it_came(tenths: int) -> None:
    mgdl = in_mgdl({"sgv": tenths / 10, "units": "mmol/L"})
    assert mgdl == pytest.approx(tenths / 10 * MG_PER_MMOL)
    assert Unit.MMOL.text(mgdl or 0) == f"{tenths / 10:.1f}"


@pytest.mark.parametrize(
    ("before", "after", "mg", "mmol"),
    [(100, 103, "+3", "+0.1"), (109, 100, "−9", "−0.5"), (100, 100, "±0", "±0.0"), (100.2, 100.4, "±0", "±0.0")],
)
def test_changes_are_those_of_the_texts(before: float, after: float, mg: str, mmol: str) -> None:
    assert (Unit.MGDL.change(before, after), Unit.MMOL.change(before, after)) == (mg, mmol)


def test_low_is_a_word() -> None:
    assert (Unit.MMOL.reading(39), Unit.MGDL.reading(40)) == ("LOW", "40")


# --- at a glance


def entry(date: int, sgv: object = 100, **others: object) -> dict[str, object]:
    return {"date": date, "srvCreated": NOW, "sgv": sgv, "utcOffset": 60, "type": "sgv"} | others


def test_readings_are_sorted_without_what_is_none() -> None:
    entries = [
        entry(NOW),
        entry(NOW - MINUTE, "x"),
        entry(NOW - HOUR, 5),
        entry(NOW - DAY, 5.5, units="mmol", direction=["Flat"]),
    ]
    assert overview.readings(entries) == [Reading(NOW - DAY, 99, 60), Reading(NOW, 100, 60)]


def test_a_fast_clock_makes_no_reading_newer() -> None:
    assert [each.date for each in overview.readings([entry(NOW + HOUR)])] == [NOW]


@pytest.mark.parametrize(
    ("ages", "devices", "found"),
    [
        ([5, 0], "aa", 5),
        ([5, 0], "ba", None),
        ([10, 5, 0], "aba", 10),
        ([10, 0, 0], "aaa", 10),
        ([25, 0], "aa", None),
        ([0], "a", None),
        ([], "", None),
    ],
)
def test_what_the_newest_is_compared_with(ages: list[int], devices: str, found: int | None) -> None:
    series = [Reading(NOW - age * MINUTE, 100, device=device) for age, device in zip(ages, devices, strict=True)]
    previous = overview.before(series)
    assert (previous and NOW - previous.date) == (found and found * MINUTE)


def test_shares_add_up() -> None:
    series = [Reading(NOW, mgdl) for mgdl in (79.9, 80, 100, 180, 180.1, 300)]
    assert overview.shares(series, 80, 180) == (17, 50, 33, 6)
    assert overview.shares([], 80, 180) is None


@pytest.mark.parametrize("offset", [-720, -210, 0, 60, 345, 840])
def test_midnight_is_that_of_the_zone(offset: int) -> None:
    begun = overview.midnight(NOW, offset)
    assert 0 <= NOW - begun < DAY
    assert (begun + offset * MINUTE) % DAY == 0


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "just now"),
        (59_999, "just now"),
        (MINUTE, "1 minute ago"),
        (HOUR - 1, "59 minutes ago"),
        (HOUR, "1 hour ago"),
        (2 * DAY, "2 days ago"),
        (-30_000, "just now"),
        (-HOUR, "in the future"),
    ],
)
def test_ages_are_words(ms: int, words: str) -> None:
    assert overview.ago(ms) == words
