"""/alarm: who hears alarms, what raises them, who may silence them, and that each is told once."""

import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from tests.support.engineio import Socket, socket
from tests.support.factories import FreshServer, NewDatabase, running_server
from tests.support.server import LiveServer
from tests.support.wire import now_ms, unique

HEARS = {"success": True, "message": "Subscribed for alarms"}
BAD = {"success": False, "message": "Bad acknowledgement: it must be a level, a group, and ms of silence, up to a day"}
MINUTE = 60_000


# --- who


def test_who_may_read_entries_hears_alarms(live: LiveServer) -> None:
    token = live.subject(unique("parent"), "api:entries:read")
    for secret in (token, live.jwt(token)):
        with socket(live) as client:
            assert client.subscribe(secret, "/alarm") == HEARS


def test_nobody_else_does(live: LiveServer) -> None:
    token = live.subject(unique("stranger"), "api:treatments:read")
    with socket(live) as client:
        assert client.subscribe(token, "/alarm") == {"success": False, "message": "Unauthorized to receive alarms"}
        assert client.emit("/alarm", "subscribe", {})["message"] == "Missing or bad accessToken"
        assert client.emit("/alarm", "subscribe")["message"].startswith("Bad subscription")


BAD_ACKNOWLEDGEMENTS: list[list[Any]] = [
    [],
    [1],
    ["1", "default", 0],
    [-1, "default", 0],
    [False, "default", 0],
    [True, "default", 0],
    [None, "default", 0],
    [3, "default", 0],
    [1.5, "default", 0],
    [1, 1, 0],
    [1, "g" * 101, 0],
    [1, "default", -1],
    [1, "default", 10**9],
    [1, "default", "1"],
    [1, "default", 1.5],
    [1, "default", ""],
    [1, "default", []],
    [1, "default", [1]],
]


@pytest.mark.parametrize("arguments", BAD_ACKNOWLEDGEMENTS)
def test_a_bad_acknowledgement_is_refused(live: LiveServer, reader: str, arguments: list[Any]) -> None:
    with socket(live) as client:
        client.subscribe(reader, "/alarm")
        assert client.emit("/alarm", "ack", *arguments) == BAD


def test_silencing_needs_a_permission(live: LiveServer, reader: str) -> None:
    listener = live.subject(unique("listener"), "api:entries:read")
    with socket(live) as client:
        assert client.enter("/alarm").emit("/alarm", "ack", 1, "default", 0)["message"] == "Not subscribed"
        client.emit("/alarm", "subscribe", {"accessToken": listener})
        refusal = {"success": False, "message": "Missing permission notifications:*:ack"}
        assert client.emit("/alarm", "ack", 1, "default", 0) == refusal
        client.emit("/alarm", "subscribe", {"accessToken": reader})
        for silence in ([], [None], [0], [1], [86_400_000]):  # though there is nothing to silence
            assert client.emit("/alarm", "ack", 1, "nothing", *silence) == {"success": True}
    assert "live reader silenced alarms of group 'nothing' up to level 1 for 86400 s" in live.output


def test_who_loses_the_right_is_put_out(live: LiveServer) -> None:
    token = live.subject(unique("parent"), "api:entries:read")
    with socket(live) as client:
        client.subscribe(token, "/alarm")
        [subject] = [each for each in live.admin("GET", "/subjects") if each["accessToken"] == token]
        live.admin("DELETE", f"/subjects/{subject['_id']}")
        assert client.receive() == "41/alarm,"


# --- what


class House:
    """A server, readings and announcements for it, and those who listen. Its alarms are those of one test at a time."""

    def __init__(self, server: LiveServer) -> None:
        self.server = server
        self.parent = server.subject(unique("parent"), "api:entries:read", "notifications:*:ack")
        self.api: httpx.Client = server.client(server.subject(unique("uploader"), "api:*:*"))

    def reading(self, sgv: Any, minutes: float = 0, **fields: Any) -> dict[str, Any]:
        """Stores one of so many minutes ago."""
        date = now_ms() - int(minutes * MINUTE)
        return self.store("entries", type="sgv", sgv=sgv, date=date, **fields)

    def announce(self, notes: str, minutes: float = 0) -> dict[str, Any]:
        date = now_ms() - int(minutes * MINUTE)
        return self.store("treatments", eventType="Announcement", notes=notes, date=date)

    def store(self, collection: str, **fields: Any) -> dict[str, Any]:
        document = {"identifier": secrets.token_hex(8), "app": "test", "utcOffset": 0, **fields}
        answer = self.api.post(f"/api/v3/{collection}", json=document)
        assert answer.status_code == 201, answer.text
        return document

    def clear(self) -> None:
        """Nothing is on, nothing is stored."""
        for collection in ("entries", "treatments"):
            for each in self.api.get(f"/api/v3/{collection}").json()["result"]:
                self.api.delete(f"/api/v3/{collection}/{each['identifier']}?permanent=true")

    @contextmanager
    def listener(self) -> Iterator["Listener"]:
        with socket(self.server) as client:
            assert client.subscribe(self.parent, "/alarm") == HEARS
            yield Listener(client)


class Listener:
    def __init__(self, client: Socket) -> None:
        self.client = client

    def hear(self) -> tuple[str, Any]:
        """The next event: its name, and its argument."""
        name, argument = json.loads(self.client.expect("42/alarm,"))
        return name, argument

    def expect(self, name: str, **fields: Any) -> Any:
        """The next event is this one, with these fields among others."""
        heard, argument = self.hear()
        assert (heard, {key: argument.get(key) for key in fields}) == (name, fields), (heard, argument)
        return argument

    def over(self, group: str) -> None:
        self.expect("clear_alarm", clear=True, title="All Clear", group=group)

    def acknowledge(self, level: int, group: str, *silence: int) -> None:
        assert self.client.emit("/alarm", "ack", level, group, *silence) == {"success": True}


@pytest.fixture(scope="module")
def house_of_one(database: str, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with running_server(tmp_path_factory.mktemp, new_database, database, workers=2) as server:
        yield House(server)


@pytest.fixture
def house(house_of_one: House) -> House:
    """Empty. It has two workers, and the kernel chooses who has which listener."""
    house_of_one.clear()
    return house_of_one


class Family:
    """Several listeners, who all hear the same."""

    def __init__(self, listeners: list[Listener]) -> None:
        self.listeners = listeners

    def expect(self, name: str, **fields: Any) -> None:
        for each in self.listeners:
            each.expect(name, **fields)

    def over(self, group: str) -> None:
        for each in self.listeners:
            each.over(group)


@contextmanager
def family(house: House) -> Iterator[Family]:
    """At any of the workers."""
    with ExitStack() as listening:
        yield Family([listening.enter_context(house.listener()) for _ in range(4)])


def test_the_course_of_glucose(house: House) -> None:
    house.reading(120, 9)
    stranger = house.server.subject(unique("stranger"), "api:treatments:read")
    with family(house) as everybody, socket(house.server) as other:
        other.enter("/alarm")
        first = house.reading(200, 8)
        about = {"identifier": first["identifier"], "date": first["date"], "sgv": 200, "units": "mg/dl"}
        shown = {"title": "High glucose", "message": "200 mg/dL (11.1 mmol/L)"}
        everybody.expect("alarm", level=1, group="default", key="high", eventName="high", **shown, **about)
        house.reading(14, 7, units="mmol/l")
        everybody.expect("alarm", level=1, key="high", sgv=252)  # again, with the new value
        house.reading(5, 6.5)  # the code of an error
        house.reading(270, 6)
        everybody.expect("urgent_alarm", level=2, key="high", sgv=270)
        with house.listener() as late:
            late.expect("urgent_alarm", level=2, key="high", sgv=270)
        house.reading(60, 5)
        everybody.expect("alarm", level=1, key="low", title="Low glucose")
        low = house.reading(54, 4)
        everybody.expect("urgent_alarm", level=2, key="low", title="Urgent: low glucose")
        house.api.delete(f"/api/v3/entries/{low['identifier']}")
        everybody.expect("alarm", level=1, key="low", sgv=60)  # what is deleted does not count
        house.reading(80, 3)
        everybody.over("default")
        house.reading(180, 2)
        house.reading(181, 1)
        everybody.expect("alarm", level=1, key="high", sgv=181)
        refusal = other.emit("/alarm", "subscribe", {"accessToken": stranger})  # the first that it hears
        assert refusal == {"success": False, "message": "Unauthorized to receive alarms"}


def test_stale_data(house: House) -> None:
    house.reading(300, 20)
    with family(house) as everybody:
        # And nothing of glucose, which was high then.
        everybody.expect(
            "alarm", level=1, group="Time Ago", key="stale", eventName="timeago", message="The last reading is 20 minutes old"
        )
        house.reading(300, 18)
        house.reading(20, 1)  # no reading at all
        house.reading(270)
        everybody.over("Time Ago")
        everybody.expect("urgent_alarm", group="default", sgv=270)
        # Oldest first: without the last one, those before it are stale.
        for reading in house.api.get("/api/v3/entries?type=sgv&sort=date").json()["result"]:
            house.api.delete(f"/api/v3/entries/{reading['identifier']}")
        everybody.over("default")
        house.reading(120, 31)
        everybody.expect("urgent_alarm", level=2, group="Time Ago")


def test_a_clock_that_is_fast_hides_nothing(house: House) -> None:
    house.reading(100, -600)
    house.reading(50, 1)
    with house.listener() as listener:
        assert listener.client.emit("/alarm", "nothing")["message"] == "Unknown event"  # the last one to arrive counts
        house.reading(50)
        listener.expect("urgent_alarm", key="low", sgv=50)


def test_announcements(house: House) -> None:
    old = [{"app": "test", "eventType": "Announcement", "notes": "old", "date": now_ms() - n * MINUTE} for n in (11, 60)]
    with family(house) as everybody:
        assert house.api.post("/api/v3/treatments/bulk", json=old).status_code in (200, 201, 207)
        house.store("treatments", eventType="Note", notes="no announcement", date=now_ms())
        said = house.announce("dinner is ready")
        about = {"isAnnouncement": True, "identifier": said["identifier"], "date": said["date"]}
        everybody.expect(
            "announcement", level=0, group="Announcement", title="Announcement", message="dinner is ready", **about
        )
        house.api.patch(f"/api/v3/treatments/{said['identifier']}", json={"notes": "dinner is cold"})
        more = [{"app": "test", "eventType": "Announcement", "notes": f"in bulk {n}", "date": now_ms() - n} for n in range(3)]
        house.api.post("/api/v3/treatments/bulk", json=more)
        for each in everybody.listeners:
            assert {each.hear()[1]["message"] for _ in range(3)} == {f"in bulk {n}" for n in range(3)}
        with house.listener() as late:
            heard = [late.hear() for _ in range(4)]
            assert {name for name, _ in heard} == {"announcement"}
            assert [argument["message"] for _, argument in heard].count("dinner is ready") == 1
            late.acknowledge(0, "Announcement")
        everybody.over("Announcement")
        house.announce("dessert")
        with house.listener() as late:
            late.expect("announcement", message="dessert")
        everybody.expect("announcement", message="dessert")


def test_silence(fresh_server: FreshServer) -> None:
    server = fresh_server("postgres", workers=2)
    house = House(server)
    house.reading(200, 9)
    with family(house) as everybody:
        everybody.expect("alarm", sgv=200)
        everybody.listeners[0].acknowledge(1, "default", 500)
        everybody.over("default")
        everybody.expect("alarm", sgv=200)  # when the silence is over
        for each in everybody.listeners[:2]:  # a second phone does not hurt
            each.client.send('42/alarm,["ack",2,"default",3600000]')
        everybody.over("default")
        house.reading(270, 8)
        house.reading(60, 7)
        everybody.expect("alarm", key="low", sgv=60)  # what was silenced was a high
        everybody.listeners[1].acknowledge(1, "default")
        everybody.over("default")
        house.reading(50, 6)
        everybody.expect("urgent_alarm", key="low", sgv=50)  # what was silenced was a warning
        house.reading(60, 5)
        everybody.over("default")
    server.restart()
    house = House(server)
    house.reading(280, 4)
    with family(house) as everybody:
        house.reading(40, 3)
        everybody.expect("urgent_alarm", key="low", sgv=40)


def test_what_is_on_is_told_after_a_crash_and_once(fresh_server: FreshServer) -> None:
    server = fresh_server(workers=2)
    house = House(server)
    house.reading(200, 5)
    with house.listener() as listener:
        listener.expect("alarm", sgv=200)
        server.kill()
    server.start()
    house = House(server)
    with family(house) as everybody:
        everybody.expect("alarm", sgv=200)
        house.reading(120)
        everybody.over("default")
