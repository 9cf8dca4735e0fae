"""When an alarm is on, and what has to be told of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiv3.model.alarms import (
    Alarm,
    Notification,
    Silence,
    State,
    Thresholds,
    acknowledge,
    advance,
    current,
    is_plain,
    newest,
)
from apiv3.model.documents import MINUTE, Document
from apiv3.model.glucose import in_mgdl

NOW = 1_790_000_000_000
USUAL = Thresholds()


def entry(sgv: Any, age: float = 0, arrived: float | None = None, **fields: Any) -> Document:
    """A reading of so many minutes ago, which arrived so many minutes ago; None: at once."""
    date = NOW - int(age * MINUTE)
    created = date if arrived is None else NOW - int(arrived * MINUTE)
    return {"identifier": f"{sgv} {age}", "date": date, "srvCreated": created, "sgv": sgv, **fields}


def announcement(age: float, **fields: Any) -> Document:
    return {"identifier": f"announcement {age}", "date": NOW - int(age * MINUTE), "eventType": "Announcement", **fields}


def on(*entries: Document, thresholds: Thresholds = USUAL, now: int = NOW) -> list[tuple[str, str, int]]:
    return [(each.group, each.key, each.level) for each in current(thresholds, newest(entries), (), now)]


@pytest.mark.parametrize(
    ("fields", "mgdl"),
    [
        ({"sgv": 120}, 120),
        ({"sgv": 120.5, "units": "mg/dl"}, 120.5),
        ({"sgv": 10, "units": "mmol"}, 180),
        ({"sgv": 10, "units": "mmol/L"}, 180),
        ({"sgv": 10, "units": "MMOL"}, 180),
        ({"sgv": 10, "units": 5}, None),
        ({"sgv": 39}, 39),
        ({"sgv": 401}, 401),
        ({"sgv": 38}, None),
        ({"sgv": 12}, None),
        ({"sgv": 0}, None),
        ({"sgv": -120}, None),
        ({"sgv": 2, "units": "mmol"}, None),
        ({"sgv": "120"}, None),
        ({"sgv": True}, None),
        ({"sgv": None}, None),
        ({"sgv": [120]}, None),
        ({}, None),
    ],
)
def test_glucose(fields: Document, mgdl: float | None) -> None:
    assert in_mgdl(fields) == (mgdl and pytest.approx(mgdl))


@pytest.mark.parametrize(
    ("sgv", "expected"),
    [
        (39, ("low", 2)),
        (54, ("low", 2)),
        (55, ("low", 1)),
        (79, ("low", 1)),
        (80, None),
        (180, None),
        (181, ("high", 1)),
        (260, ("high", 1)),
        (261, ("high", 2)),
        (1e300, ("high", 2)),
    ],
)
def test_levels(sgv: float, expected: tuple[str, int] | None) -> None:
    assert on(entry(sgv)) == ([("default", *expected)] if expected else [])


@pytest.mark.parametrize(("age", "level"), [(0, None), (15, None), (15.1, 1), (30, 1), (30.1, 2), (60 * 24 * 365, 2)])
def test_stale(age: float, level: int | None) -> None:
    assert on(entry(50, age)) == ([("Time Ago", "stale", level)] if level else [("default", "low", 2)])
    assert on(entry(100, age)) == ([("Time Ago", "stale", level)] if level else [])


def test_what_thresholds_are_set_counts() -> None:
    narrow = Thresholds(70, 90, 120, 140, stale=5, stale_urgent=6)
    assert on(entry(121), thresholds=narrow) == [("default", "high", 1)]
    assert on(entry(141), thresholds=narrow) == [("default", "high", 2)]
    assert on(entry(89), thresholds=narrow) == [("default", "low", 1)]
    assert on(entry(69), thresholds=narrow) == [("default", "low", 2)]
    assert on(entry(69, 5.5), thresholds=narrow) == [("Time Ago", "stale", 1)]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], None),
        ([entry(100, 5), entry(101, 2), entry(102, 9)], (101, 2)),
        ([entry(100, 5), entry(5, 2), entry("?", 1)], (100, 5)),  # errors say nothing
        ([entry(5, 20), entry(6, 10)], (None, 20)),  # nor do they keep data fresh
        ([entry(100, -600, 2), entry(50, 1)], (50, 1)),  # a fast clock: it counts from when it arrived
        ([entry(100, -600, 1), entry(50, 2)], (100, 1)),
        ([entry(100, 5, 60 * 24), entry(50, 7)], (50, 7)),  # it was dated in the future when it came
    ],
)
def test_the_newest_reading(entries: list[Document], expected: tuple[float | None, float] | None) -> None:
    found = newest(entries)
    assert (found and (found.mgdl, (NOW - found.date) / MINUTE)) == expected


@pytest.mark.parametrize(
    ("document", "plain"), [(entry(100, 5), True), (entry(5, 5), False), (entry(100, -5, 0), False), (entry(100, 5, 6), False)]
)
def test_what_ends_the_search_for_the_newest(document: Document, plain: bool) -> None:
    assert is_plain(document) is plain


@pytest.mark.parametrize(
    ("age", "there"), [(0, True), (10, True), (10.1, False), (-10, True), (-10.1, False), (60 * 24 * 365, False)]
)
def test_an_announcement_passes(age: float, there: bool) -> None:
    assert bool(current(USUAL, None, [announcement(age)], NOW)) is there


@pytest.mark.parametrize(("notes", "message"), [("Hi", "Hi"), (None, ""), (["Hi"], ""), ("x" * 1001, "x" * 1000)])
def test_what_an_announcement_says(notes: Any, message: str) -> None:
    [alarm] = current(USUAL, None, [announcement(0, notes=notes)], NOW)
    assert alarm.payload is not None
    assert (alarm.event, alarm.payload["title"], alarm.payload["message"]) == ("announcement", "Announcement", message)
    assert alarm.payload["isAnnouncement"] is True
    assert (alarm.level, alarm.payload["level"], "eventName" in alarm.payload) == (0, 0, False)


@pytest.mark.parametrize(
    ("sgv", "age", "name"),
    [(50, 0, "low"), (60, 0, "low"), (200, 0, "high"), (300, 0, "high"), (300, 16, "timeago"), (100, 31, "timeago")],
)
def test_an_alarm_names_its_event(sgv: float, age: float, name: str) -> None:
    [alarm] = current(USUAL, newest([entry(sgv, age)]), (), NOW)
    assert alarm.payload is not None
    assert alarm.payload["eventName"] == name


def test_glucose_that_is_whole_is_an_integer() -> None:
    [alarm] = current(USUAL, newest([{**entry(300, 0), "sgv": 300.0}]), (), NOW)
    assert repr((alarm.payload or {})["sgv"]) == "300"


# --- what has to be told


class Course:
    """What happens, and what somebody hears of it who listens from the beginning."""

    def __init__(self) -> None:
        self.state, self.now = State(), NOW
        self.entries: list[Document] = []
        self.announcements: list[Document] = []
        self.showing: dict[str, Notification] = {}

    def look(self) -> list[str]:
        alarms = current(USUAL, newest(self.entries), self.announcements, self.now)
        self.state, told = advance(self.state, alarms, self.now)
        for each in told:
            if each.event == "clear_alarm":
                self.showing.pop(each.payload["group"])  # nothing is cleared that nobody was told of
            else:
                self.showing[each.payload["group"]] = each
        return [each.event for each in told]

    def reading(self, sgv: Any, minutes: float = 5) -> list[str]:
        self.wait(minutes)
        self.entries.append({**entry(sgv), "date": self.now, "srvCreated": self.now})
        return self.look()

    def wait(self, minutes: float) -> list[str]:
        self.now += int(minutes * MINUTE)
        return self.look()

    def silence(self, level: int, group: str = "default", minutes: float = 30) -> list[str]:
        self.state = acknowledge(self.state, level, group, int(minutes * MINUTE), self.now)
        return self.look()

    def announce(self, minutes: float = 0) -> list[str]:
        self.announcements.append({**announcement(len(self.announcements)), "date": self.now})
        return self.wait(minutes)


def test_a_course() -> None:
    course = Course()
    assert course.reading(100) == []
    assert course.reading(200) == ["alarm"]
    assert course.reading(201) == ["alarm"]
    assert course.look() == []
    assert course.reading(270) == ["urgent_alarm"]
    assert course.reading(250) == ["alarm"]
    assert course.reading(50) == ["urgent_alarm"]
    assert course.reading(100) == ["clear_alarm"]
    assert course.reading(50) == ["urgent_alarm"]
    assert course.wait(16) == ["clear_alarm", "alarm"]  # the clear one first
    assert course.wait(1) == []
    assert course.wait(15) == ["urgent_alarm"]
    assert course.wait(1000) == []
    assert course.reading(50) == ["clear_alarm", "urgent_alarm"]
    course.entries.clear()
    assert course.look() == ["clear_alarm"]


def test_a_silence() -> None:
    course = Course()
    course.reading(200)
    assert course.silence(1) == ["clear_alarm"]
    assert course.silence(1) == []
    assert course.reading(201) == []
    assert course.reading(270) == ["urgent_alarm"]  # a warning was silenced
    assert course.silence(1) == []
    assert course.reading(200) == ["clear_alarm"]
    assert course.reading(270) == ["urgent_alarm"]
    assert course.silence(2) == ["clear_alarm"]
    assert course.reading(200) == []  # the level below as well
    assert course.reading(60) == ["alarm"]  # a high was silenced
    assert course.reading(270) == ["clear_alarm"]
    assert course.silence(2, minutes=1) == []  # it does not shorten what is there
    assert course.wait(5) == []
    assert course.reading(271, 9.9) == []
    assert course.wait(0.2) == ["urgent_alarm"]  # over
    assert course.wait(16) == ["clear_alarm", "alarm"]
    assert course.silence(1, "Time Ago", 1000) == ["clear_alarm"]
    assert course.wait(16) == ["urgent_alarm"]
    assert course.silence(2, "nothing of that name") == []


def test_announcements() -> None:
    course = Course()
    assert course.announce() == ["announcement"]
    assert course.announce() == ["announcement"]
    assert course.silence(0, "Announcement", 1) == ["clear_alarm"]
    assert course.announce(5) == ["announcement"]
    assert course.wait(4.9) == []  # who has read it has read it
    assert course.wait(30) == []
    assert course.state.on == ()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("reading"), st.sampled_from([5, 50, 60, 100, 200, 201, 270]), st.sampled_from([0, 1, 5, 16, 31])),
        st.tuples(st.just("wait"), st.sampled_from([1, 10, 16, 31])),
        st.tuples(st.just("announce"), st.sampled_from([0, 5])),
        st.tuples(
            st.just("silence"),
            st.sampled_from([0, 1, 2]),
            st.sampled_from(["default", "Time Ago", "Announcement"]),
            st.sampled_from([1, 10, 30]),
        ),
    ),
    max_size=30,
)


@given(STEPS)
def test_who_listens_from_the_beginning_knows_what_is_on(steps: list[tuple[Any, ...]]) -> None:
    """Whoever comes later is told what is `told` in the state: so both know the same. And what was told is not told again."""
    course = Course()
    for name, *arguments in steps:
        getattr(course, name)(*arguments)
        alarms = [each for each in course.state.on if each.told and each.group != "Announcement"]
        shown = {group: each for group, each in course.showing.items() if group != "Announcement"}
        assert {each.group: Notification(each.event, each.payload or {}) for each in alarms} == shown
        assert len(alarms) <= 1
        assert not any(silence.covers(alarm) for silence in course.state.silences for alarm in alarms)
        before = course.state
        assert course.look() == []
        assert course.state == before


def test_who_silences_for_longer_wins() -> None:
    state = State(0, (Alarm("default", "high", 2),), (Silence("default", "high", 2, NOW + 5),))
    assert acknowledge(state, 2, "default", 4, NOW).silences == state.silences
    assert acknowledge(state, 2, "default", 6, NOW).silences == (Silence("default", "high", 2, NOW + 6),)
    assert len(acknowledge(state, 1, "default", 6, NOW).silences) == 2


def test_level_0_silences_no_glucose() -> None:
    course = Course()
    assert course.reading(200) == ["alarm"]
    assert course.silence(0) == []
    assert course.silence(1) == ["clear_alarm"]
