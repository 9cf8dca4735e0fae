"""The page `/` on the wire: what it says of the data, in either unit, and what it makes of hostile ones."""

import html
import os
import re
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.support.browsers import signed_in
from tests.support.factories import FreshServer
from tests.support.people import PASSWORD, add_person
from tests.support.server import LiveServer
from tests.support.wire import undated

MINUTE = 60_000
HOUR = 60 * MINUTE


@pytest.fixture(scope="module")
def open_server(lasting_server: FreshServer) -> LiveServer:
    """With security switched off, so that everybody on this machine may read. tests/browser/ signs in."""
    return lasting_server(env={"API3_SECURITY_ENABLE": "false"})


@pytest.fixture
def house(open_server: LiveServer) -> httpx.Client:
    """Without documents."""
    client = undated(open_server)
    for collection in ("entries", "treatments"):
        for document in client.get(f"/api/v3/{collection}?fields=identifier").json()["result"]:
            client.delete(f"/api/v3/{collection}/{document['identifier']}?permanent=true")
    return client


def now() -> int:
    return time.time_ns() // 1_000_000


def put(house: httpx.Client, collection: str, *documents: dict[str, Any]) -> None:
    answer = house.post(f"/api/v3/{collection}/bulk", json=[{"app": "test", **each} for each in documents])
    assert answer.status_code == 200, answer.text


def sgv(age: int, value: float, **others: Any) -> dict[str, Any]:
    """A reading that is `age` minutes old."""
    return {"type": "sgv", "date": now() - age * MINUTE - 5000, "sgv": value, "device": "sensor", "utcOffset": 0, **others}


def text(answer: httpx.Response) -> str:
    """What a page says, without its marks."""
    assert answer.status_code == 200, answer.text
    return re.sub(r"\s+", " ", html.unescape(re.sub("<[^>]*>", " ", answer.text.partition("<main")[2]))).strip()


def test_a_stranger_is_told_what_it_is_and_nothing_else(server: LiveServer) -> None:
    caller = server.client(server.subject("front", "api:*:*"))
    caller.post("/api/v3/entries", json=sgv(1, 123, app="test"))
    for headers in ({}, {"Authorization": caller.headers["Authorization"]}):  # a page takes no token
        answer = undated(server).get("/", headers=headers)
        assert "Sign in" in text(answer)
        assert not re.search(r"\b123\b|mg/dL", answer.text)


def test_without_data_it_says_so_and_what_to_do(house: httpx.Client) -> None:
    said = text(house.get("/"))
    assert "No reading yet" in said
    assert "The last 24 hours" not in said
    assert "There is no treatment yet." in said
    for step in ("Connect an app", "Receive a reading", "Make the server reachable from outside", "Keep a backup"):
        assert step in said
    assert "done" not in said


def test_a_backup_counts_when_it_is_recent(house: httpx.Client, open_server: LiveServer) -> None:
    file = open_server.installation.data / "last_backup"
    file.touch()
    try:
        assert "Keep a backup done" in text(house.get("/"))
        os.utime(file, (0, 0))
        assert "Keep a backup done" not in text(house.get("/"))
    finally:
        file.unlink()


def test_the_newest_reading_stands_with_its_age_trend_and_change(house: httpx.Client) -> None:
    put(house, "entries", sgv(5, 100, direction="Flat"), sgv(0, 109, direction="FortyFiveUp"))
    answer = house.get("/")
    said = text(answer)
    assert "109 mg/dL ↗ rising slowly just now" in said
    assert re.search(r"\+9 since \d\d:\d\d , in the target range", said)
    assert "2 readings, from 100 to 109 mg/dL. The target range from 80 to 180 mg/dL is shaded." in said
    assert "<title>109 mg/dL · apiv3</title>" in answer.text
    assert "silent" not in said
    assert answer.headers["cache-control"] == "no-store"


def test_the_choice_of_mmol_is_kept(house: httpx.Client) -> None:
    put(house, "entries", sgv(5, 100), sgv(0, 6.1, units="mmol"))
    answer = house.get("/?units=mmol")
    assert re.fullmatch(r"units=mmol; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax", answer.headers["set-cookie"])
    said = text(house.get("/"))
    assert said == text(answer)
    assert "6.1 mmol/L just now" in said
    assert "+0.5 since" in said
    assert "from 5.6 to 6.1 mmol/L. The target range from 4.4 to 10.0 mmol/L is shaded." in said
    assert "Below 4.4 mmol/L" in said
    assert re.search(r"Trend \d\d:\d\d 6.1 \d\d:\d\d 5.6", said)  # the table
    house.cookies.clear()
    assert "mmol/L just now" not in text(house.get("/"))


def test_a_page_of_another_site_makes_no_choice(house: httpx.Client) -> None:
    assert "set-cookie" not in house.get("/?units=mmol", headers={"Sec-Fetch-Site": "cross-site"}).headers


@pytest.mark.parametrize(
    "cookie", ["units=x; zone=y", "zone=99999", "zone=--1", "units=;zone=", "zone=-", "units=60; zone=mmol"]
)
def test_bad_cookies_count_as_none(house: httpx.Client, cookie: str) -> None:
    put(house, "entries", sgv(0, 100))
    said = text(house.get("/", headers={"Cookie": cookie}))
    assert "Times are in UTC." in said
    assert "100 mg/dL" in said


def test_a_silent_uploader_is_told_about(house: httpx.Client) -> None:
    put(house, "entries", sgv(3 * 60, 109, direction="FortyFiveUp"))
    said = text(house.get("/"))
    assert "109 mg/dL 3 hours ago" in said
    assert "The last reading came 3 hours ago. The sensor, the phone, or the app that sends the readings is silent" in said
    assert "rising" not in said.partition("The last 24 hours")[0]


def test_a_reading_of_another_day_is_still_the_last(house: httpx.Client) -> None:
    put(house, "entries", sgv(3 * 24 * 60, 109))
    said = text(house.get("/"))
    assert "The last reading came 3 days ago." in said
    assert "There is no reading of the last 24 hours." in said


def test_times_are_those_of_the_browser_or_else_of_the_readings(house: httpx.Client) -> None:
    reading = sgv(30, 100, utcOffset=345)
    put(house, "entries", reading)

    def clock(offset: int) -> str:
        return f"{datetime.fromtimestamp(reading['date'] / 1000 + offset * 60, UTC):%H:%M}"

    said = text(house.get("/"))
    assert "Times are in UTC+05:45." in said
    assert f"{clock(345)} 100" in said
    said = text(house.get("/", headers={"Cookie": "zone=-210"}))
    assert "Times are in UTC−03:30." in said
    assert f"{clock(-210)} 100" in said


def test_the_day_is_told_in_shares(house: httpx.Client) -> None:
    zone = -(datetime.now(UTC).hour * 60)  # where the day has just begun
    zone = zone + 1440 if zone < -720 else zone
    put(house, "entries", *(sgv(0, value, date=now() - n * 1000) for n, value in enumerate((70, 100, 120, 200))))
    said = text(house.get("/", headers={"Cookie": f"zone={zone}"}))
    assert "50 % in range Below 80 mg/dL 25 % 80 to 180 mg/dL 50 % Above 180 mg/dL 25 % Of 4 readings since midnight." in said


def test_a_fast_clock_hides_nothing(house: httpx.Client) -> None:
    put(house, "entries", sgv(5, 100), sgv(-60, 109))
    assert "109 mg/dL just now" in text(house.get("/"))


def test_who_may_not_read_is_told_so(server: LiveServer) -> None:
    email = f"silent.{server.port}@x.example"
    add_person(server.installation, email, PASSWORD, "status-only", name=email)
    said = text(signed_in(server, email).get("/"))
    assert "your roles do not let you see glucose readings" in said
    assert "Sign in" not in said


def test_error_codes_are_no_readings_and_low_is_a_word(house: httpx.Client) -> None:
    put(house, "entries", sgv(1, 39), sgv(0, 10), {"type": "mbg", "date": now(), "mbg": 300})
    said = text(house.get("/"))
    assert "LOW mg/dL 1 minute ago" in said
    assert "1 reading, from LOW to LOW" in said


def test_hostile_documents_are_shown_as_texts(house: httpx.Client) -> None:
    attack = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{7*7}}"
    put(house, "entries", sgv(0, 100, direction=attack, device=attack))
    put(
        house,
        "treatments",
        {"date": now() - HOUR, "eventType": attack, "notes": attack * 10, "insulin": attack, "carbs": [1], "duration": 1e300},
        {"date": now() - HOUR, "eventType": {"a": 1}, "notes": 7, "insulin": True, "carbs": -1},
        {"date": now() - HOUR, "notes": "x" * 100_000},
    )
    answer = house.get("/")
    said = text(answer)
    assert "<script>alert" not in answer.text
    assert "<img src=x" not in answer.text
    assert attack in said
    assert "49" not in said.partition("Latest treatments")[2].partition("Left to set up")[0]
    assert len(answer.text) < 30_000
    assert len(re.findall("Treatment", said)) >= 2


def test_many_readings_fit(house: httpx.Client) -> None:
    put(house, "entries", *(sgv(n, 100 + n % 90, device=f"s{n % 2}") for n in range(900)))
    answer = house.get("/")
    assert "900 readings, from 100 to 189 mg/dL" in text(answer)
    dots = re.findall(r'<path class="points \w+" d="([^"]+)"', answer.text)
    assert sum(path.count("M") for path in dots) == 900
    assert all(re.fullmatch(r"(M\d{1,4} \d+(\.\d)?h0)+", path) for path in dots)


def test_the_chart_has_a_name_and_words(house: httpx.Client) -> None:
    put(house, "entries", sgv(0, 700))
    page = house.get("/").text
    named = re.search(r'<svg role="img" aria-labelledby="(\S+) (\S+)"', page)
    assert named
    assert f'<title id="{named[1]}">Glucose of the last 24 hours</title>' in page
    assert f'<desc id="{named[2]}">1 reading, from 700 to 700 mg/dL.' in page
