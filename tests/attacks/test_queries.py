"""One holder of a token asks for as much work and memory as the protocol lets it; the others hardly notice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import httpx
import pytest

from tests.support.attacks import Witness, assert_harmless, many
from tests.support.bystander import processor_time
from tests.support.documents import DATE, api_of, import_documents
from tests.support.factories import NewDatabase, running_server
from tests.support.server import LiveServer

MOST_MEMORY, MOST_WORK = 128, 0.5
"""Megabytes, and seconds; see `assert_harmless`."""
AT_ONCE = 20
TOO_LARGE = "The answer would be too large: ask for fewer documents (limit) or fields"


@pytest.fixture(scope="module")
def server(database: str, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    extra = {"API3_EXTRA_COLLECTIONS": "activity"}
    with ExitStack() as running:
        yield running.enter_context(running_server(tmp_path_factory.mktemp, new_database, database, env=extra, real=True))


@pytest.fixture(scope="module")
def attacker(server: LiveServer) -> httpx.Client:
    client = api_of(server, "api:*:*")
    client.timeout = httpx.Timeout(120)
    many = [{"identifier": f"e{n}", "date": DATE + n, "app": "x", "type": "sgv", "sgv": n} for n in range(1000)]
    assert client.post("/entries/bulk", json=many).status_code == 200
    return client


@pytest.fixture(scope="module")
def innocent(server: LiveServer) -> str:
    """A bystander's JWT."""
    return server.jwt(server.subject("innocent", "api:*:read"))


def nested(depth: int) -> Any:
    value: Any = 5
    for _ in range(depth // 2):
        value = [{"0": value}]
    return value


PATH = "0." * 80 + "0"
PATTERN, LARGE_PATTERN = "(.?){0,300}", r"(?i)N.M\pL{0,50}"
ENDLESS_PATTERN = r"(?i)" + r"\pL{0,100}" * 90
"""As much to compile as a thousand characters can demand."""
Parameters = list[tuple[str, str | int | float | bool | None]]
FILTERS: Parameters = [(f"x.{PATH[:98]}${operator}", "6") for operator in ("eq", "gt", "in", "nin") for _ in range(20)]
WORK: dict[str, tuple[tuple[str, Parameters], int]] = {
    "a path through nested lists": (("food", [*FILTERS]), 200),
    "patterns that are slow to match": (("entries", [("created_at$re", PATTERN)] * 95), 400),
    "one of them": (("entries", [("created_at$re", PATTERN)]), 400),
    "patterns that are slow to compile": (("profile", [("a$re", f"{LARGE_PATTERN}{n}") for n in range(95)]), 400),
    "one such": (("profile", [("a$re", LARGE_PATTERN)]), 400),
    "many patterns": (("entries", [("created_at$re", "a|b")] * 95), 400),
    "many choices": (("entries", [("sgv$in", "|".join(map(str, range(-1400, 0))))]), 200),
    "many choices of times": (("entries", [("date$nin", "|".join(map(str, range(-1400, 0))))]), 200),
    "many filters": (("entries", [(f"a{n}$ne", "x") for n in range(97)]), 200),
    "an order by anything": (("entries", [("sort", "a.b.c")]), 200),
    "many fields": (("entries", [("fields", ",".join(f"a{n}.b" for n in range(1000)))]), 200),
    "XML": (("entries.xml", []), 200),
    "CSV": (("entries.csv", []), 200),
}


@pytest.mark.parametrize("kind", WORK)
def test_work(server: LiveServer, attacker: httpx.Client, innocent: str, kind: str) -> None:
    (path, parameters), status = WORK[kind]
    if path == "food":
        for n in range(20):
            deep = {"identifier": f"deep{n}", "date": DATE, "app": "x", "x": nested(96)}
            assert attacker.put(f"/food/deep{n}", json=deep).is_success
    ask = partial(attacker.get, f"/{path}", params=parameters)
    with Witness(server, "/api/v3/entries/e5", innocent) as witness:
        answers = many(ask, 2 * AT_ONCE, AT_ONCE)
    assert Counter(answer.status_code for answer in answers).keys() <= {status, 503}, answers[0].text
    assert status in {answer.status_code for answer in answers}
    if status == 400:
        assert answers[0].json()["message"].count(" ") > 4
    assert_harmless(witness.damage(), MOST_MEMORY, MOST_WORK)


@pytest.fixture(scope="module")
def large(attacker: httpx.Client) -> httpx.Client:
    """The same attacker has stored 48 documents of a megabyte, half of them of characters that Python keeps in four bytes."""
    for n in range(48):
        text = "🍎" * 250_000 if n % 2 else "a" * 1_000_000
        document = {"identifier": f"l{n:02}", "date": DATE + n, "app": "x", "notes": text}
        assert attacker.post("/treatments", content=json.dumps(document, ensure_ascii=False).encode()).status_code == 201
    return attacker


ENDINGS = {"sqlite": ("", ".csv", ".xml"), "postgres": ("",)}
"""The format comes after the database has answered, so all are tried with one."""


@pytest.mark.parametrize(("query", "status"), [("", 413), ("limit=20", 200), ("limit=20&fields=notes", 200), ("app$ne=y", 413)])
def test_large_answers(database: str, server: LiveServer, large: httpx.Client, innocent: str, query: str, status: int) -> None:
    """More than 32 MiB is refused; of less, two at a time are made and sent."""
    for ending in ENDINGS[database]:
        with Witness(server, "/api/v3/entries/e5", innocent) as witness:
            answers = many(partial(_size, large, f"/treatments{ending}?{query}"), 6, 6)
        assert Counter(code for code, *_ in answers).keys() <= {status, 503}
        assert status in {code for code, *_ in answers}
        for code, size, message in answers:
            assert code != 200 or size > 20_000_000
            assert code != 413 or message == TOO_LARGE
        assert_harmless(witness.damage(), MOST_MEMORY, MOST_WORK)


def _size(client: httpx.Client, url: str) -> tuple[int, int, str]:
    with client.stream("GET", url) as answer:
        if answer.status_code != 200:
            return answer.status_code, 0, json.loads(answer.read())["message"]
        return answer.status_code, sum(map(len, answer.iter_bytes())), ""


def test_history_ends_a_page_early_and_loses_nothing(large: httpx.Client) -> None:
    found, cursor, pages = list[str](), 0, 0
    while True:
        answer = large.get(f"/treatments/history/{cursor or 1_000_000_000_000}")
        assert answer.status_code == 200
        page = answer.json()["result"]
        if not page:
            break
        pages += 1
        assert len(answer.content) < 34_000_000
        found += [each["identifier"] for each in page]
        cursor = page[-1]["srvModified"]
        assert answer.headers["ETag"] == f'W/"{cursor}"'
    assert found == [f"l{n:02}" for n in range(48)]
    assert pages == 2


BODIES = {
    "lists": lambda: b"[%b]" % b",".join([b'{"app":"x","x":[%b]}' % b",".join([b"[]"] * 5000)] * 900),
    "a list": lambda: b'[{"app":"x","x":[%b]}]' % b",".join([b"[]"] * 4_000_000),
    "deep ones": lambda: b"[%b]" % b",".join([b"[" * 1000 + b"]" * 1000] * 7000),
    "objects": lambda: b"[%b]" % b",".join([b'{"a":' * 99 + b"1" + b"}" * 99] * 3000),
    "numbers": lambda: b'[{"app":"x","x":[%b]}]' % b",".join([b"1.5"] * 3_500_000),
    "lines": lambda: b"\n".join([b'{"app":"x","x":[%b]}' % b",".join([b"[]"] * 5000)] * 900),
}


@pytest.mark.parametrize("kind", BODIES)
def test_bodies_of_many_values(server: LiveServer, attacker: httpx.Client, innocent: str, kind: str) -> None:
    body = BODIES[kind]()
    with Witness(server, "/api/v3/entries/e5", innocent) as witness:
        answers = many(lambda: attacker.post("/settings/bulk", content=body), 4, 2)
    assert {answer.status_code for answer in answers} == {413}
    assert answers[0].json()["message"] == "The request body holds too many values"
    assert_harmless(witness.damage(), MOST_MEMORY, MOST_WORK)


def test_a_document_of_many_values(server: LiveServer, attacker: httpx.Client, innocent: str) -> None:
    body = b'{"app":"x","x":[%b]}' % b",".join([b"[]"] * 2_700_000)
    with Witness(server, "/api/v3/entries/e5", innocent) as witness:
        answers = many(lambda: attacker.put("/settings/large", content=body), 4, 2)
    assert {answer.status_code for answer in answers} == {413}
    assert answers[0].json()["message"] == "The request body holds too many values"
    assert_harmless(witness.damage(), MOST_MEMORY, MOST_WORK)


def test_a_large_body_is_parsed_beside_the_event_loop(server: LiveServer, attacker: httpx.Client) -> None:
    """One of nearly as many objects as may be, in more documents than may be."""
    body = b"[%b]" % b",".join([b'{"app":"x","x":[%b]}' % b",".join([b'{"a":1}'] * 240)] * 1001)
    loop, all_threads = (processor_time(server.pid, all_threads=each) for each in (False, True))
    for _ in range(3):
        answer = attacker.post("/settings/bulk", content=body)
        assert (answer.status_code, answer.json()["message"]) == (413, "At most 1000 documents in one request")
    loop, all_threads = (
        processor_time(server.pid, all_threads=each) - before for each, before in ((False, loop), (True, all_threads))
    )
    assert loop < all_threads / 2


def test_texts_hold_as_many_brackets_and_commas_as_they_like(attacker: httpx.Client) -> None:
    document = {"identifier": "text", "date": DATE, "app": "x", "notes": '[{[{[{,"\\"' * 50_000}
    assert attacker.put("/food/text", content=json.dumps(document).encode()).is_success
    assert attacker.get("/food/text").json()["result"]["notes"] == document["notes"]


def test_a_second_that_is_too_large_is_refused_by_the_second(server: LiveServer, attacker: httpx.Client) -> None:
    """Who asks again for the same second would never come further."""
    second = 1_700_000_000_000
    documents = [{"identifier": f"s{n}", "app": "x", "srvModified": second + n, "x": "a" * 1_000_000} for n in range(40)]
    import_documents(server, "profile", *documents, identified=True)
    by_second = attacker.get("/profile/history", headers={"Last-Modified": str(second)})
    assert (by_second.status_code, by_second.json()["message"]) == (
        413,
        "The changes of this second are too large: ask for history/{lastModified}",
    )
    first = attacker.get(f"/profile/history/{second - 1}")
    rest = attacker.get(f"/profile/history/{first.headers['ETag'][3:-1]}")
    found = [each["identifier"] for answer in (first, rest) for each in answer.json()["result"]]
    assert found == [f"s{n}" for n in range(40)]


def test_a_pattern_is_refused_before_it_costs_much(server: LiveServer, attacker: httpx.Client) -> None:
    before = processor_time(server.pid, all_threads=True)
    for _ in range(20):
        assert attacker.get("/profile", params={"a$re": ENDLESS_PATTERN}).status_code == 400
    assert processor_time(server.pid, all_threads=True) - before < 20 * 0.02


def test_choices_are_found_without_a_search(server: LiveServer, attacker: httpx.Client) -> None:
    """As many of them as a request can hold, beside each of a thousand documents."""
    before = processor_time(server.pid, all_threads=True)
    for _ in range(5):
        assert attacker.get("/entries", params={"sgv$nin": "|".join(["5"] * 3900)}).status_code == 200
    assert processor_time(server.pid, all_threads=True) - before < 0.3


def test_large_tables(server: LiveServer, attacker: httpx.Client, innocent: str) -> None:
    """Of half a million cells each, which take seconds to render."""
    for half in range(2):
        rows = range(500 * half, 500 * half + 500)
        documents = [{"identifier": f"r{n}", "date": DATE + n, "app": "x", **{f"k{k}": n for k in range(490)}} for n in rows]
        assert attacker.post("/activity/bulk", json=documents).status_code == 200
    for ending in ("csv", "xml"):
        with Witness(server, "/api/v3/entries/e5", innocent) as witness:
            answers = many(partial(_size, attacker, f"/activity.{ending}"), 4, 4)
        assert {code for code, *_ in answers} == {200}
        assert min(size for _, size, _ in answers) > 2_000_000
        assert_harmless(witness.damage(), MOST_MEMORY, MOST_WORK)


def test_an_answer_that_grows_while_it_is_rendered(server: LiveServer, attacker: httpx.Client, innocent: str) -> None:
    """Two documents of 8 MB become four times as much in XML."""
    for n in range(2):
        document = {"identifier": f"grows{n}", "date": DATE, "app": "grows", "notes": "<" * 8_000_000}
        assert attacker.put(f"/settings/grows{n}", json=document).status_code == 201
    with Witness(server, "/api/v3/entries/e5", innocent) as witness:
        answers = many(partial(_size, attacker, "/settings.xml?app=grows"), 4, 4)
    assert {(code, message) for code, _, message in answers} == {(413, TOO_LARGE)}
    assert_harmless(witness.damage(), MOST_MEMORY, MOST_WORK)


@pytest.mark.parametrize(("columns", "status"), [(9_990, 200), (10_010, 413)])
def test_columns_of_a_table(attacker: httpx.Client, columns: int, status: int) -> None:
    document = {"identifier": "wide", "date": DATE, "app": "x", **{f"k{n}": n for n in range(columns)}}
    assert attacker.put("/settings/wide", json=document).is_success
    assert attacker.get("/settings/wide.csv").status_code == status


def test_a_table_of_many_names(server: LiveServer, attacker: httpx.Client, innocent: str) -> None:
    documents = [
        {"identifier": f"w{n}", "date": DATE + n, "app": "x", **{f"n{n}_{k}": 1 for k in range(300)}} for n in range(1000)
    ]
    assert attacker.post("/devicestatus/bulk", json=documents).status_code == 200
    with Witness(server, "/api/v3/entries/e5", innocent) as witness:
        answers = many(lambda: attacker.get("/devicestatus.csv"), 8, 8)
    assert {answer.status_code for answer in answers} == {413}
    assert answers[0].json()["message"].startswith("The CSV would have too many columns")
    some = attacker.get("/devicestatus.csv?fields=identifier,n7_1")
    assert some.text.startswith("identifier,n7_1\r\n")
    assert some.text.count("\r\n") == 1001
    assert_harmless(witness.damage(), MOST_MEMORY, MOST_WORK)
