"""Request bodies: what is stored comes back as it was; what is malformed, too deep or too long is refused, after the token."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apiv3.model.documents import whole
from tests.support.documents import DATE, Corner, Json, NewApi
from tests.support.server import LiveServer

KNOWN = b'"date":1600087000000,"app":"tests",'
WAYS = [("POST", "/treatments"), ("PUT", "/treatments/malformed"), ("PATCH", "/treatments/malformed")]


def deep(levels: int) -> bytes:
    return b'{"x":' + b"[" * levels + b"]" * levels + b"}"


MALFORMED = {
    "nothing": b"",
    "blank": b" \n",
    "empty object": b"{}",
    "list": b"[]",
    "list of documents": b'[{"app":"tests"}]',
    "text": b'"app"',
    "number": b"5",
    "null": b"null",
    "true": b"true",
    "cut off": b'{"app":"te',
    "more after it": b'{"app":"tests"}{}',
    "form": b"app=tests",
    "single quotes": b"{'app':'tests'}",
    "trailing comma": b'{"app":"tests",}',
    "comment": b'{"app":"tests"/* */}',
    "NaN": b'{"x":NaN}',
    "Infinity": b'{"x":Infinity}',
    "-Infinity": b'{"x":[-Infinity]}',
    "overflow": b'{"x":1e999}',
    "negative overflow": b'{"x":{"y":-1e999}}',
    "leading zero": b'{"x":01}',
    "hexadecimal": b'{"x":0x10}',
    "plus": b'{"x":+1}',
    "2^63": b'{"x":9223372036854775808}',
    "-2^63 - 1": b'{"x":-9223372036854775809}',
    "2^64 - 1": b'{"x":[18446744073709551615]}',
    "2^70": b'{"x":1180591620717411303424}',
    "5000 digits": b'{"x":' + b"9" * 5000 + b"}",
    "raw control character": b'{"x":"a\x01b"}',
    "raw U+0000": b'{"x":"a\x00b"}',
    "U+0000": rb'{"x":"a\u0000b"}',
    "U+0000 deep down": rb'{"x":[{"y":["\u0000"]}]}',
    "U+0000 in a name": rb'{"\u0000":1}',
    "U+0000 in a deep name": rb'{"x":[{"a\u0000":1}]}',
    "lone surrogate": rb'{"x":"\ud800"}',
    "surrogates the wrong way round": rb'{"x":"\udc00\ud800"}',
    "lone surrogate in a name": rb'{"\udfff":1}',
    "surrogate as UTF-8": b'{"x":"\xed\xa0\x80"}',
    "Latin-1": '{"x":"é"}'.encode("latin-1"),
    "UTF-16": '{"x":1}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"x":1}',
    "overlong UTF-8": b'{"x":"\xc0\x80"}',
    "deep": deep(150),
    "deeper": deep(2000),
    "deepest": deep(200_000),
    "deep with a long number": b'{"n":1234567890123456789,"x":' + b"[" * 900 + b"]" * 900 + b"}",
    "never closed": b"[" * 200_000,
    "deep objects": b'{"x":' * 300 + b"1" + b"}" * 300,
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_body(api: httpx.Client, body: bytes) -> None:
    for method, path in WAYS:
        answer = api.request(method, path, content=body)
        assert answer.status_code == 400
        assert (answer.json()["status"], answer.json()["message"]) == (400, "Bad or missing request body")
        assert answer.json().keys() <= {"status", "message", "description"}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_body_of_a_stranger_is_not_looked_at(server: LiveServer, new_api: NewApi, body: bytes) -> None:
    nobody, reader = server.client(), new_api(server, "api:*:read")
    for method, path in WAYS:
        assert nobody.request(method, f"/api/v3{path}", content=body).status_code == 401
        assert reader.request(method, path, content=body).status_code == 403


@pytest.mark.parametrize(("method", "path"), WAYS)
def test_a_body_that_is_too_long(api: httpx.Client, server: LiveServer, method: str, path: str) -> None:
    body = b'{"x":"' + b"a" * 8_388_608 + b'"}'
    for content in (body, iter([body[:1000], body[1000:]])):  # with its length, and in chunks
        answer = api.request(method, path, content=content)
        assert (answer.status_code, answer.json()) == (413, {"status": 413, "message": "Request body too large"})
    assert server.client().request(method, f"/api/v3{path}", content=b"x").status_code == 401


def test_the_longest_body(sparse: LiveServer, new_api: NewApi) -> None:
    mine = Corner(new_api(sparse, "api:*:*"))
    document = json.dumps(mine.document(identifier=mine.name(), text="")).encode()
    longest = document.replace(b'"text": ""', b'"text": "' + b"a" * (2048 - len(document)) + b'"')
    assert len(longest) == 2048
    assert mine.api.post("/treatments", content=longest).status_code == 201
    assert mine.api.post("/treatments", content=longest + b" ").status_code == 413


def test_a_body_need_not_say_that_it_is_json(corner: Corner) -> None:
    for number, kind in enumerate((None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8")):
        body = json.dumps(corner.document(identifier=corner.name(number))).encode()
        headers = {"Content-Type": kind} if kind else {}
        assert corner.api.post("/treatments", content=body, headers=headers).status_code == 201


def test_a_compressed_body(api: httpx.Client) -> None:
    answer = api.post("/treatments", content=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 415


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
def test_a_body_that_says_it_is_not_compressed(corner: Corner, coding: str) -> None:
    answer = corner.api.post("/treatments", json=corner.document(), headers={"Content-Encoding": coding})
    assert answer.status_code == 201


# --- what comes back


def test_numbers_come_back_as_they_were(corner: Corner) -> None:
    numbers = (
        b"9223372036854775807,-9223372036854775808,9007199254740993,0,-1,1.5,0.1,1e+300,1e-300,5e-324,"
        b"1.7976931348623157e+308,123456789.123456789,1234567890123456789.5"
    )
    body = b"{" + KNOWN + b'"identifier":"%s","x":[%s]}' % (corner.name().encode(), numbers)
    assert corner.api.post("/treatments", content=body).status_code == 201
    found = json.loads(corner.api.get(corner.url(corner.name())).content)["result"]["x"]
    expected = json.loads(b"[" + numbers + b"]")
    assert list(map(repr, found)) == list(map(repr, expected))


WHOLE = {
    b"20.0": b"20",
    b"-100.0": b"-100",
    b"0.0": b"0",
    b"-0.0": b"0",
    b"2e1": b"20",
    b"20.50E1": b"205",
    b"1.00000000000000000001": b"1",
    b"9007199254740992.0": b"9007199254740992",
    b"9007199254740994.0": b"9007199254740994.0",
}
"""A number as sent, and as every answer writes it: as any JavaScript server, up to 2^53."""


def test_whole_numbers_come_back_as_integers_everywhere(corner: Corner) -> None:
    """READ, SEARCH, HISTORY, CSV and XML, and in whatever way the document came."""
    api, identifier = corner.api, corner.name()
    sent = b",".join(b'"n%d":%b' % (number, text) for number, text in enumerate(WHOLE))
    shown = ",".join(f'"n{number}":{text.decode()}' for number, text in enumerate(WHOLE.values()))
    document = (
        b"{"
        + KNOWN
        + b'"identifier":"%s","utcOffset":60.0,%b,"deep":[{"x":[%b]}]}'
        % (
            identifier.encode(),
            sent,
            b",".join(WHOLE),
        )
    )
    patch = b'{"utcOffset":60.0,%b}' % sent
    ways = (("PUT", document), ("PUT", document), ("PATCH", patch))
    for method, body in (*ways, ("POST", document), ("DELETE", b""), ("BULK", b"[" + document + b"]")):
        cursor = corner.cursor()
        if method in ("POST", "BULK"):
            path = "/treatments/bulk" if method == "BULK" else "/treatments"
            assert api.post(path, content=body).is_success
        else:
            assert api.request(method, corner.url(identifier), content=body).is_success
        history = api.get(f"/treatments/history/{cursor}").text
        assert f"{shown}," in history
        assert '"utcOffset":60,' in history
        assert '"deep":[{"x":[' + b",".join(WHOLE.values()).decode() + "]}]" in history
    search = f"/treatments?identifier='{identifier}'"
    names = ",".join(f"n{number}" for number in range(len(WHOLE)))
    for path in (corner.url(identifier), search):
        assert f"{shown}," in api.get(path).text
        assert f"{{{shown}}}" in api.get(path, params={"fields": names, "identifier": f"'{identifier}'"}).text
    values = b",".join(WHOLE.values()).decode()
    assert f"\r\n{values}\r\n" in api.get(corner.url(identifier) + f".csv?fields={names}").text
    assert "<n0>20</n0>" in api.get(corner.url(identifier) + ".xml").text


def test_integers_stay_integers_through_every_way_in(corner: Corner) -> None:
    big = 2**63 - 1
    identifier = corner.add(x=big, y=[{"z": -(2**63)}])
    document: Json = {name: value for name, value in corner.read(identifier).items() if not name.startswith("srv")}
    corner.api.put(corner.url(identifier), json=document)
    corner.api.patch(corner.url(identifier), json={"w": big - 1})
    for path in (corner.url(identifier), f"/treatments?identifier='{identifier}'&fields=x,y,w"):
        text = corner.api.get(path).text
        assert '"x":9223372036854775807,' in text
        assert '"y":[{"z":-9223372036854775808}]' in text
        assert '"w":9223372036854775806' in text


def test_texts_and_their_order_come_back_as_they_were(corner: Corner) -> None:
    odd = r'"ключ":"значение","a":"\ud83c\udf55 🍕","":"","b\"\\\n":"\u2028\u0007\/"'
    body = f'{{{KNOWN.decode()}"identifier":"{corner.name()}","z":"žluťoučký kůň",{odd},"e\u0301":1,"é":2}}'
    assert corner.api.post("/treatments", content=body.encode()).status_code == 201
    found = corner.read(corner.name())
    sent = json.loads(body)
    assert list(found)[: len(sent)] == list(sent)
    assert {name: found[name] for name in sent} == sent


def test_of_two_equal_names_the_last_one_counts(corner: Corner) -> None:
    body = b"{" + KNOWN + b'"identifier":"%s","x":1,"x":2}' % corner.name().encode()
    assert corner.api.post("/treatments", content=body).status_code == 201
    assert corner.read(corner.name())["x"] == 2


def test_a_document_of_many_levels_and_a_large_one(api: httpx.Client) -> None:
    nested: Any = "bottom"
    for level in range(90):
        nested = {"x": nested} if level % 3 else [nested]
    large = {f"field{number}": "é" * 100 for number in range(4000)}
    mine = Corner(api, "profile")
    found = mine.read(mine.add(nested=nested, **large))
    assert found["nested"] == nested
    assert {name: found[name] for name in large} == large


names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6).map(lambda name: f"-{name}")
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | texts
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=10
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(document=st.dictionaries(names, values, max_size=5), escaped=st.booleans())
def test_any_document_comes_back_as_it_was(corner: Corner, document: Json, escaped: bool) -> None:
    sent = {"date": DATE, "app": "tests", **document}
    body = json.dumps(sent, ensure_ascii=escaped).encode()
    assert corner.api.put(corner.url(corner.name()), content=body).is_success
    found = json.loads(corner.api.get(corner.url(corner.name())).content)["result"]
    assert list(found)[: len(sent)] == list(sent)
    assert {name: found[name] for name in sent} == sent
    assert repr({name: found[name] for name in sent}) == repr(whole(sent))
