"""When an alarm is on, and who has to be told of it: rules over the newest reading, announcements and the time.

    readings, announcements, now ──current──> alarms that are on
    state, alarms, now ──advance──> the next state, and the notifications that lead there

Both are pure. The state is that of the whole installation: it says what is on, what of that was told, and what is silenced.
Levels, groups and events are those of docs/reference/protocol.md, section 5; an alarm's `key` is the condition behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from apiv3.model.documents import MINUTE, Document, whole
from apiv3.model.glucose import MG_PER_MMOL, in_mgdl

INFO, WARNING, URGENT = 0, 1, 2
GLUCOSE, STALE, ANNOUNCEMENT = "default", "Time Ago", "Announcement"
"""The groups."""
ANNOUNCED = 10 * MINUTE
"""An announcement is on as long as its date is no further away than this, in ms."""
LONGEST_MESSAGE = 1000
"""Characters of an announcement that are sent; its document has the rest."""

Event = Literal["alarm", "urgent_alarm", "announcement", "clear_alarm", "notification"]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From where on there is an alarm: glucose in mg/dL, the age of the newest reading in minutes."""

    low: float = 55
    target_bottom: float = 80
    target_top: float = 180
    high: float = 260
    stale: float = 15
    stale_urgent: float = 30


@dataclass(frozen=True, slots=True)
class Reading:
    """`date`: ms, when it was measured. `mgdl`: None for one that says nothing about glucose."""

    identifier: str
    date: int
    mgdl: float | None


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm that is on.

    `reading`: the date of the reading that it is about, in ms: it is told again with each later one; 0: it is told once.
    `told`: whether everybody who listens has been told of it, and of nothing to the contrary since. `payload`: how.
    """

    group: str
    key: str
    level: int
    reading: int = 0
    told: bool = False
    payload: Mapping[str, Any] | None = None

    @property
    def event(self) -> Event:
        if self.group == ANNOUNCEMENT:
            return "announcement"
        return "urgent_alarm" if self.level == URGENT else "alarm"


class Silence(NamedTuple):
    """Until when (ms) an alarm of a group and key is not told, up to a level."""

    group: str
    key: str
    level: int
    until: int

    def covers(self, alarm: Alarm) -> bool:
        return (self.group, self.key) == (alarm.group, alarm.key) and self.level >= alarm.level


class State(NamedTuple):
    """All alarms that are on and all silences that last, each in its order. `last`: the number of the last notification."""

    last: int = 0
    on: tuple[Alarm, ...] = ()
    silences: tuple[Silence, ...] = ()


class Notification(NamedTuple):
    """An event, as it goes out."""

    event: Event
    payload: Mapping[str, Any]


# --- what is on


def newest(entries: Iterable[Document]) -> Reading | None:
    """The last reading of glucose among entries; where none says anything, the first of those that say nothing.

    So while a sensor sends only errors, the data grow old.
    """
    readings = sorted(map(_reading, entries), key=lambda reading: reading.date)
    return next((reading for reading in reversed(readings) if reading.mgdl is not None), readings[0] if readings else None)


def _reading(entry: Document) -> Reading:
    """It was measured before it arrived, whatever its device says: a clock that is fast must not make it look fresh."""
    return Reading(entry["identifier"], min(int(entry["date"]), int(entry["srvCreated"])), in_mgdl(entry))


def is_plain(entry: Document) -> bool:
    """Whether no entry with an earlier date can be a later reading than this one: it says something, of before it came."""
    return in_mgdl(entry) is not None and entry["date"] <= entry["srvCreated"]


def current(thresholds: Thresholds, reading: Reading | None, announcements: Iterable[Document], now: int) -> tuple[Alarm, ...]:
    """What is on at a moment (`now`, ms). `announcements`: treatments of that event type, of any date."""
    on = [_announcement(each) for each in announcements if abs(now - each["date"]) <= ANNOUNCED]
    if reading is not None:
        on += _stale(thresholds, reading, now) or _glucose(thresholds, reading)
    return tuple(sorted(on, key=_place))


def _stale(thresholds: Thresholds, reading: Reading, now: int) -> list[Alarm]:
    """Told once for each level, since nothing new can be said."""
    age = (now - reading.date) / MINUTE
    if age <= thresholds.stale:
        return []
    level = URGENT if age > thresholds.stale_urgent else WARNING
    title = "Urgent: stale data" if level == URGENT else "Stale data"
    about = {"eventName": "timeago", "identifier": reading.identifier, "date": reading.date}
    return [_alarm(STALE, "stale", level, title, f"The last reading is {age:.0f} minutes old", **about)]


def _glucose(thresholds: Thresholds, reading: Reading) -> list[Alarm]:
    mgdl = reading.mgdl
    if mgdl is None or thresholds.target_bottom <= mgdl <= thresholds.target_top:
        return []
    key = "low" if mgdl < thresholds.target_bottom else "high"
    level = URGENT if mgdl < thresholds.low or mgdl > thresholds.high else WARNING
    title = f"Urgent: {key} glucose" if level == URGENT else f"{key.capitalize()} glucose"
    message = f"{mgdl:.0f} mg/dL ({mgdl / MG_PER_MMOL:.1f} mmol/L)"
    about = {"identifier": reading.identifier, "date": reading.date, "sgv": whole(round(mgdl, 1)), "units": "mg/dl"}
    alarm = _alarm(GLUCOSE, key, level, title, message, eventName=key, **about)
    return [replace(alarm, reading=reading.date)]


def _announcement(treatment: Document) -> Alarm:
    notes = treatment.get("notes")
    message = notes[:LONGEST_MESSAGE] if isinstance(notes, str) else ""
    about = {"isAnnouncement": True, "identifier": treatment["identifier"], "date": treatment["date"]}
    return _alarm(ANNOUNCEMENT, treatment["identifier"], INFO, ANNOUNCEMENT, message, **about)


def _alarm(group: str, key: str, level: int, title: str, message: str, **about: Any) -> Alarm:
    payload = {"level": level, "group": group, "key": key, "title": title, "message": message, **about}
    return Alarm(group, key, level, payload=payload)


# --- what has to be told


def advance(state: State, alarms: Iterable[Alarm], now: int) -> tuple[State, Sequence[Notification]]:
    """The state that follows when `alarms` are on at a moment (`now`, ms), and what has to be told on the way there.

    What is over is told first: there are apps that drop every alarm when one group is clear.
    """
    silences = tuple(sorted(silence for silence in state.silences if silence.until > now))
    before = {_place(alarm): alarm for alarm in state.on}
    on = tuple(_settle(before.get(_place(alarm)), alarm, silences) for alarm in sorted(alarms, key=_place))
    told = [Notification(each.event, each.payload or {}) for each in on if each.told and each != before.get(_place(each))]
    return State(state.last, on, silences), [*_clear(state.on, on), *told]


def _settle(before: Alarm | None, alarm: Alarm, silences: Iterable[Silence]) -> Alarm:
    """An alarm as the next state has it: silent, as it was told before, or to be told now."""
    if any(silence.covers(alarm) for silence in silences):
        return Alarm(alarm.group, alarm.key, alarm.level)
    if before is not None and before.told and before.level == alarm.level and before.reading >= alarm.reading:
        return before
    return replace(alarm, told=True)


def _clear(before: Iterable[Alarm], on: Iterable[Alarm]) -> Iterator[Notification]:
    """The end of each group of which something was told, and is no more. Announcements just pass, unless acknowledged."""
    there = {alarm.group for alarm in on}
    for group in sorted(_told(before) - _told(on)):
        if group in there or group != ANNOUNCEMENT:
            why = "Silenced" if group in there else "No current reading" if STALE in there else "It is over"
            yield Notification("clear_alarm", {"clear": True, "title": "All Clear", "message": why, "group": group})


def acknowledge(state: State, level: int, group: str, silence: int, now: int) -> State:
    """The state with everything that is on in a group silenced up to a level, for a time in ms; a longer silence stays.

    What is silenced is what is on, not the group: whoever silences a high does not silence the low that may follow.
    """
    if group == ANNOUNCEMENT:  # who has read it has read it
        silence = max(silence, 2 * ANNOUNCED)
    silences = {each[:3]: each for each in state.silences}
    for alarm in state.on:
        if alarm.group == group:
            place = (group, alarm.key, level)
            silences[place] = max(Silence(*place, now + silence), silences.get(place, Silence(*place, 0)))
    return state._replace(silences=tuple(sorted(silences.values())))


def _told(alarms: Iterable[Alarm]) -> set[str]:
    return {alarm.group for alarm in alarms if alarm.told}


def _place(alarm: Alarm) -> tuple[str, str]:
    return alarm.group, alarm.key
