"""The rules of alarms: which are on, by the newest reading, announcements and the time, and which notifications to send.

    readings, announcements, now ──current──> alarms that are on
    state, alarms, now ──advance──> the next state, and the notifications to send

Both are pure functions. The state belongs to the whole installation: which alarms are on, which were sent, which are silenced.
Levels, groups and events are those of docs/reference/protocol.md, section 5; an alarm's `key` is the condition behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from apiv3.model.documents import MINUTE, Document, whole
from apiv3.model.glucose import Unit, in_mgdl

INFO, WARNING, URGENT = 0, 1, 2
GLUCOSE, STALE, ANNOUNCEMENT = "default", "Time Ago", "Announcement"
"""The groups of alarms."""
ANNOUNCED = 10 * MINUTE
"""Milliseconds before and after its date in which an announcement is on."""
LONGEST_MESSAGE = 1000
"""Most characters of an announcement that are sent; its document has the whole text."""

Event = Literal["alarm", "urgent_alarm", "announcement", "clear_alarm", "notification"]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The thresholds of alarms: glucose in mg/dL, the age of the newest reading in minutes."""

    low: float = 55
    target_bottom: float = 80
    target_top: float = 180
    high: float = 260
    stale: float = 15
    stale_urgent: float = 30


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading. `date`: when it was measured, in ms. `mgdl`: glucose in mg/dL; None for an error code or a missing value."""

    identifier: str
    date: int
    mgdl: float | None


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm that is on.

    `reading`: the date in ms of the reading that it is about; it is sent again with each later one; 0: it is sent only once.
    `told`: whether it has been sent to all listeners, and not cleared since. `payload`: the argument of its event.
    """

    group: str
    key: str
    level: int
    reading: int = 0
    told: bool = False
    payload: Mapping[str, Any] | None = None

    @property
    def event(self) -> Event:
        """The name of the event that announces the alarm."""
        if self.group == ANNOUNCEMENT:
            return "announcement"
        return "urgent_alarm" if self.level == URGENT else "alarm"


class Silence(NamedTuple):
    """An alarm of this group and key is not sent, up to this level, until `until` (ms since 1970)."""

    group: str
    key: str
    level: int
    until: int

    def covers(self, alarm: Alarm) -> bool:
        """Whether this silences an alarm."""
        return (self.group, self.key) == (alarm.group, alarm.key) and self.level >= alarm.level


class State(NamedTuple):
    """The alarms that are on and the silences that last, both sorted. `last`: the number of the last notification."""

    last: int = 0
    on: tuple[Alarm, ...] = ()
    silences: tuple[Silence, ...] = ()


class Notification(NamedTuple):
    """An event to send to all listeners."""

    event: Event
    payload: Mapping[str, Any]


# --- what is on


def newest(entries: Iterable[Document]) -> Reading | None:
    """Return the last reading with a glucose value; if none has one, the first reading, so that data become stale while a
    sensor sends only error codes. None without entries.
    """
    readings = sorted(map(_reading, entries), key=lambda reading: reading.date)
    return next((reading for reading in reversed(readings) if reading.mgdl is not None), readings[0] if readings else None)


def _reading(entry: Document) -> Reading:
    """Return an entry as a reading, dated no later than its arrival: a fast device clock must not make it look newer."""
    return Reading(entry["identifier"], min(int(entry["date"]), int(entry["srvCreated"])), in_mgdl(entry))


def is_plain(entry: Document) -> bool:
    """Whether an entry has a glucose value and is dated before its arrival, so that no entry with an earlier date is newer."""
    return in_mgdl(entry) is not None and entry["date"] <= entry["srvCreated"]


def current(thresholds: Thresholds, reading: Reading | None, announcements: Iterable[Document], now: int) -> tuple[Alarm, ...]:
    """Return the alarms that are on at `now` (ms). `announcements`: treatments of that event type, with any date."""
    on = [_announcement(each) for each in announcements if abs(now - each["date"]) <= ANNOUNCED]
    if reading is not None:
        on += _stale(thresholds, reading, now) or _glucose(thresholds, reading)
    return tuple(sorted(on, key=_place))


def _stale(thresholds: Thresholds, reading: Reading, now: int) -> list[Alarm]:
    """Return the alarm about stale data, if it is on. It is sent once for each level."""
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
    message = f"{Unit.MGDL.text(mgdl)} mg/dL ({Unit.MMOL.text(mgdl)} mmol/L)"
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
    """Return the next state when `alarms` are on at `now` (ms), and the notifications to send.

    Notifications of alarms that ended come first, since some apps drop all alarms when one group is clear.
    """
    silences = tuple(sorted(silence for silence in state.silences if silence.until > now))
    before = {_place(alarm): alarm for alarm in state.on}
    on = tuple(_settle(before.get(_place(alarm)), alarm, silences) for alarm in sorted(alarms, key=_place))
    told = [Notification(each.event, each.payload or {}) for each in on if each.told and each != before.get(_place(each))]
    return State(state.last, on, silences), [*_clear(state.on, on), *told]


def _settle(before: Alarm | None, alarm: Alarm, silences: Iterable[Silence]) -> Alarm:
    """Return an alarm as it is in the next state: silenced, unchanged because it was sent before, or to be sent now."""
    if any(silence.covers(alarm) for silence in silences):
        return Alarm(alarm.group, alarm.key, alarm.level)
    if before is not None and before.told and before.level == alarm.level and before.reading >= alarm.reading:
        return before
    return replace(alarm, told=True)


def _clear(before: Iterable[Alarm], on: Iterable[Alarm]) -> Iterator[Notification]:
    """Yield the end of each group with alarms that were sent and are no longer on. Announcements end without a notification,
    unless they are acknowledged.
    """
    there = {alarm.group for alarm in on}
    for group in sorted(_told(before) - _told(on)):
        if group in there or group != ANNOUNCEMENT:
            why = "Silenced" if group in there else "No current reading" if STALE in there else "It is over"
            yield Notification("clear_alarm", {"clear": True, "title": "All Clear", "message": why, "group": group})


def acknowledge(state: State, level: int, group: str, silence: int, now: int) -> State:
    """Return the state with all alarms that are on in a group silenced up to a level, for `silence` ms; longer silences stay.

    Only alarms that are on are silenced, not the group: silencing high glucose does not silence low glucose that may follow.
    """
    if group == ANNOUNCEMENT:  # it has been read, so it must not be sent again
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
