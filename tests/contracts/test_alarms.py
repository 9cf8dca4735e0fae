"""Alarms of several processes on one database: each step is taken once."""

from __future__ import annotations

import asyncio
import time
from itertools import cycle

import pytest

from apiv3.model.alarms import Notification, Silence, State, Thresholds
from apiv3.operations.alarming import Alarming
from apiv3.storage.alarms import AlarmTable
from apiv3.storage.database import Database
from apiv3.storage.documents import DocumentTable
from tests.support.storage import assert_whole, document, insert, interrupt_everywhere, sequence, unique


@pytest.fixture
async def processes(opened: Database, another: Database) -> list[Alarming]:
    await DocumentTable(opened).prepare(["entries", "treatments"])
    return [Alarming(DocumentTable(each), AlarmTable(each), Thresholds()) for each in (opened, another) * 3]


async def reading(opened: Database, sgv: int) -> None:
    now = time.time_ns() // 1_000_000
    await insert(DocumentTable(opened), "entries", document(unique("entry"), type="sgv", sgv=sgv, date=now))


async def test_a_step_is_taken_once_however_many_take_it(opened: Database, processes: list[Alarming]) -> None:
    table = AlarmTable(opened)
    begin = (await processes[0].evaluate()).last
    for sgv in (270, 50, 120, 200):
        await reading(opened, sgv)
        states = await asyncio.gather(*(each.evaluate() for each in processes))
        assert all(state == states[0] for state in states)
    await asyncio.gather(*(each.acknowledge(1, "default", 60_000) for each in processes))
    last = (await processes[0].evaluate()).last
    events = [event for event, _ in await table.notifications(begin, last)]
    assert events == ["urgent_alarm", "urgent_alarm", "clear_alarm", "alarm", "clear_alarm"]
    assert len(await table.notifications(begin, last - 1)) == 4
    await reading(opened, 120)
    await processes[0].evaluate()


async def test_a_step_that_is_interrupted_is_taken_whole_or_not_at_all(opened: Database, processes: list[Alarming]) -> None:
    begin = (await processes[0].evaluate()).last
    values = cycle((270, 50))

    async def work() -> None:
        await reading(opened, next(values))
        await processes[0].evaluate()

    assert await interrupt_everywhere(work) >= 2
    await assert_whole(opened)
    state = await processes[1].evaluate()
    heard: dict[str, Notification] = {}
    dates = []
    for each in await AlarmTable(opened).notifications(begin, state.last):
        if each.event == "clear_alarm":
            heard.pop(each.payload["group"])  # it was there
        else:
            heard[each.payload["group"]] = each
            dates.append(each.payload["date"])
    assert heard == {each.group: Notification(each.event, each.payload or {}) for each in state.on if each.told}
    assert sequence(dates)


async def test_the_log_is_kept_for_a_day(opened: Database) -> None:
    table = AlarmTable(opened)
    numbers = []
    for moment in (1, 2, 86_400_002):
        async with table.changing() as writer:
            state = await writer.put(writer.state, [Notification("notification", {"moment": moment})], moment)
            numbers.append(state.last)
    kept = await table.notifications(numbers[0] - 1, numbers[-1])
    assert [payload["moment"] for _, payload in kept][-2:] == [2, 86_400_002]


async def test_what_was_put_is_there_and_what_failed_is_not(opened: Database) -> None:
    table = AlarmTable(opened)
    silences = (Silence("default", "high", 1, 5), Silence("default", "high", 2, 5))
    async with table.changing() as writer:
        put = await writer.put(State(silences=silences), [], 0)
    assert await table.load() == put._replace(on=())
    with pytest.raises(RuntimeError):
        await _put_and_fail(table)
    assert await table.load() == put


async def _put_and_fail(table: AlarmTable) -> None:
    async with table.changing() as writer:
        await writer.put(State(), [Notification("notification", {})], 0)
        raise RuntimeError
