"""Files of JSON documents: both forms, however they are cut into pieces, and what is wrong with some."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiv3.files import json_documents
from apiv3.files.records import Malformed, Record
from apiv3.model.errors import ApiError
from tests.support import hostile

_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(st.characters(exclude_characters="\0", codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab🍎", max_size=2), inner, max_size=3),
    max_leaves=8,
)
_documents = st.lists(st.dictionaries(st.text("xy[]{},", min_size=1, max_size=3), _values, min_size=1, max_size=4), max_size=6)
_blanks = st.text(" \t\r\n", max_size=2)


def read(data: bytes) -> list[Record]:
    return list(json_documents.read(io.BufferedReader(io.BytesIO(data))))


def items(data: bytes) -> list[Any]:
    """The documents; of what is refused, where it stands and why."""
    rows = read(data)
    return [f"{row.counted} {row.place}: {row.item}" if isinstance(row.item, ApiError) else row.item for row in rows]


def is_refused(found: str, place: str) -> bool:
    return found.startswith(f"{place}: Bad document: ") and "request" not in found


@pytest.fixture(params=[1, 2, 7, 1 << 20], ids=lambda size: f"in pieces of {size}")
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(json_documents, "CHUNK", request.param)
    return int(request.param)


@given(documents=_documents, blanks=_blanks, ascii=st.booleans(), mark=st.booleans())
def test_an_array_comes_out_as_it_was(documents: list[Any], blanks: str, ascii: bool, mark: bool) -> None:
    texts = [json.dumps(each, ensure_ascii=ascii) for each in documents]
    text = f"{blanks}[{blanks}" + f"{blanks},{blanks}".join(texts) + f"{blanks}]{blanks}"
    data = text.encode("utf-8-sig" if mark else "utf-8")
    assert items(data) == documents
    assert [row.place for row in read(data)] == list(range(1, len(documents) + 1))


@given(documents=_documents, ending=st.sampled_from(["\n", "\r\n", "\n\n"]), last=st.booleans())
def test_lines_come_out_as_they_were(documents: list[Any], ending: str, last: bool) -> None:
    data = ending.join(json.dumps(each, ensure_ascii=False) for each in documents) + (ending if last else "")
    assert items(data.encode()) == documents


def test_an_array_in_pieces(chunk: int) -> None:
    documents: list[Any] = [{"a": "ünï🍎]},{", "b": [1, 2.5, {"c": 'q"\\'}]}, {"d": 12345678901}, {"e": {}}]
    for indent in (None, 2):
        assert items(json.dumps(documents, ensure_ascii=False, indent=indent).encode()) == documents
    reason = "Bad document: it must be a JSON object with fields"
    assert items(b"[12345, 678, {}]") == [f"document {number}: {reason}" for number in (1, 2, 3)]
    assert items(b" [ ] ") == []


def test_what_is_refused_does_not_stop_the_others(chunk: int) -> None:
    array = b'[{"a":1}, 5, {"a":18446744073709551616}, {"a":"\\u0000"}, {"a":NaN}, {"a":"\\ud800"}, [{"a":1}], {"a":2}]'
    found = items(array)
    assert [found[0], found[-1]] == [{"a": 1}, {"a": 2}]
    assert all(is_refused(each, f"document {number}") for number, each in enumerate(found[1:-1], 2))
    first, second, third, last = items(b'{"a":1}\n{"a":\n\n\xff\n{"a":2}')
    assert (first, last) == ({"a": 1}, {"a": 2})
    assert second == "line 2: Bad document: unexpected end of data at character 6"
    assert is_refused(third, "line 4")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'[{"a":1}', "neither a comma nor the end"),
        (b'[{"a":1} {"a":2}]', "after document 1"),
        (b'[{"a":1},]', "document 2 is no JSON"),
        (b'[{"a":1},{"a":', "document 2 is no JSON"),
        (b'[{"a":1}]\n[{"a":2}]', "something stands after the end of the array"),
        (b'[{"a":1}]trailing', "something stands after the end of the array"),
        (b"[] []", "something stands after the end of the array"),
        (b'{\n"a":1}\n{"b":', "document 2 is no JSON: it has no end"),
        (b'{\n"a":1}\n}', "document 2 is no JSON: Expecting value at character 1 of it$"),
        (b'[{"a":1},\n {"b":\n x}]', "document 2 is no JSON: Expecting value at character 8 of it$"),
        (b'[{"a":1},{"a":"\xff"}]', "UTF-8"),
        (b"[" * 100_000, "nested too deep"),
    ],
)
def test_a_file_that_ends_too_early(data: bytes, reason: str) -> None:
    """What stands before the fault has been read by then."""
    rows = json_documents.read(io.BufferedReader(io.BytesIO(data)))
    with pytest.raises(Malformed, match=reason):
        list(rows)


class Endless(io.RawIOBase):
    """A file that begins somehow and never ends. `given`: bytes that were asked of it."""

    def __init__(self, start: bytes) -> None:
        self._start, self.given = start, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._start[: len(buffer)].ljust(len(buffer), b"x")
        self._start = self._start[len(buffer) :]
        buffer[:] = piece
        self.given += len(piece)
        return len(piece)


@pytest.mark.parametrize("start", [b'{"a":"', b'[{"a":"'], ids=["ndjson", "array"])
def test_what_has_no_end_is_not_read_to_its_end(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_documents, "LARGEST", 10_000)
    monkeypatch.setattr(json_documents, "CHUNK", 1000)
    endless = Endless(start)
    with pytest.raises(Malformed, match=r"line 1|document 1"):
        list(json_documents.read(io.BufferedReader(endless, 1000)))
    assert endless.given < 50_000


def test_extended_json_of_mongoexport() -> None:
    line = (
        b'{"_id":{"$oid":"5f5f6a3e9d1c4b0012345678"},"date":{"$numberLong":"1600087000000"},"sgv":{"$numberInt":"120"},'
        b'"at":{"$date":"2020-09-14T12:36:40Z"},"since":{"$date":{"$numberLong":"1600087000000"}},"x":[{"$numberDouble":"1.5"}],'
        b'"cost":{"$":1,"$oid":2}}'
    )
    assert items(line) == [
        {
            "_id": "5f5f6a3e9d1c4b0012345678",
            "date": 1600087000000,
            "sgv": 120,
            "at": "2020-09-14T12:36:40Z",
            "since": 1600087000000,
            "x": [1.5],
            "cost": {"$": 1, "$oid": 2},
        }
    ]
    for text in ("many", "18446744073709551616"):
        [refused] = items(b'{"a":{"$numberLong":"%b"}}' % text.encode())
        assert refused == f"line 1: Bad extended JSON: '{text}' is no whole number of 64 bits"


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ('{"$numberDouble":"-1.5"}', -1.5),
        ('{"$numberDecimal":"5.5"}', 5.5),
        ('{"$numberDecimal":"1.20E+2"}', 120),
        ('{"$numberDecimal":"9007199254740993"}', 9_007_199_254_740_993),
        ('{"$symbol":"x"}', "x"),
        ('{"$uuid":"6f2c-1"}', "6f2c-1"),
        ('{"$binary":{"base64":"AQID","subType":"00"}}', "AQID"),
        ('{"$binary":"AQID","$type":"00"}', "AQID"),
        ('{"$timestamp":{"t":1600087000,"i":3}}', 1_600_087_000_000),
        ('{"$regularExpression":{"pattern":"^a/b","options":"i"}}', "/^a/b/i"),
        ('{"$regex":"^a","$options":""}', "/^a/"),
        ('{"$code":"f()"}', "f()"),
        ('{"$code":"f()","$scope":{"a":1}}', "f()"),
        ('[{"$undefined":true},{"$numberInt":"1"}]', [None, 1]),
        ('{"$ref":"x","$id":{"$oid":"5f"}}', {"$ref": "x", "$id": "5f"}),
        ('{"$oid":"5f","more":1}', {"$oid": "5f", "more": 1}),
    ],
)
def test_every_type_of_extended_json_has_a_fate(value: str, meaning: Any) -> None:
    [row] = read(f'{{"a":{value},"b":1}}'.encode())
    assert (row.item, row.notes) == ({"a": meaning, "b": 1}, ())


def test_undefined_is_left_out() -> None:
    assert items(b'{"a":{"$undefined":true},"b":{"c":{"$undefined":true},"d":1}}') == [{"b": {"d": 1}}]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ('{"$numberDouble":"NaN"}', "NaN"),
        ('{"$numberDouble":"-Infinity"}', "-Infinity"),
        ('{"$numberDecimal":"Infinity"}', "Infinity"),
        ('{"$numberDecimal":"NaN"}', "NaN"),
        ('{"$numberDecimal":"1E+400"}', "1E+400"),
        ('{"$minKey":1}', "MinKey"),
        ('{"$maxKey":1}', "MaxKey"),
    ],
)
def test_what_json_cannot_say_is_null_with_a_note(value: str, name: str) -> None:
    note = f"a.0.b is {name}, which JSON cannot say: stored as null"
    for data in (f'{{"a":[{{"b":{value}}}],"c":1}}', f'[{{"a":[{{"b":{value}}}],"c":1}}]'):
        [row] = read(data.encode())
        assert (row.item, row.notes) == ({"a": [{"b": None}], "c": 1}, (note,))


@pytest.mark.parametrize(
    "value",
    [
        '{"$oid":[1]}',
        '{"$numberInt":true}',
        '{"$numberLong":1.5}',
        '{"$numberDouble":[]}',
        '{"$numberDouble":"many"}',
        '{"$numberDecimal":5}',
        '{"$numberDecimal":"many"}',
        '{"$date":{}}',
        '{"$binary":"*"}',
        '{"$binary":{"base64":"AQID"}}',
        '{"$timestamp":5}',
        '{"$timestamp":{"t":"x","i":1}}',
        '{"$regularExpression":"a"}',
        '{"$regex":5,"$options":""}',
        '{"$code":5}',
    ],
)
def test_a_value_that_is_none_of_its_type(value: str) -> None:
    assert items(f'{{"a":{value}}}'.encode())[0].startswith("line 1: Bad extended JSON")


def test_documents_of_several_lines(chunk: int) -> None:
    """As programs print them for people: one, or some after each other."""
    documents: list[Any] = [{"a": "ünï🍎]},{", "b": [1, {"c": 2}]}, {"d": 3}, {"e": {"f": {}}}]
    for start in ("", "\ufeff", "\n \n"):
        printed = start + "\n".join(json.dumps(each, ensure_ascii=False, indent=2) for each in documents)
        assert items(printed.encode()) == documents
        assert items((start + json.dumps(documents[0], indent=2)).encode()) == documents[:1]
    assert items(b'{"a":1,\n"b":2}\n') == [{"a": 1, "b": 2}]
    assert items(b'{\n"a":1}\n5 {"b":2}')[1] == "document 2: Bad document: it must be a JSON object with fields"


@pytest.mark.parametrize("indent", [None, 2])
def test_an_answer_to_search(indent: int | None) -> None:
    answer = {"status": 200, "result": [{"a": 1}, 5, {"_id": {"$oid": "5f"}}]}
    reason = "Bad document: it must be a JSON object with fields"
    assert items(json.dumps(answer, indent=indent).encode()) == [{"a": 1}, f"document 2: {reason}", {"_id": "5f"}]
    assert items(b'{"status":200,"result":[]}') == []
    for other in ({"status": 200, "result": {"a": 1}}, {"status": 200, "result": [], "more": 1}):
        assert items(json.dumps(other).encode()) == [other]


@pytest.mark.parametrize("name", ["$oid", "$date", "$numberLong", "$numberInt", "$numberDouble", "$undefined", "$minKey"])
def test_a_whole_document_is_no_value_of_extended_json(name: str) -> None:
    document = {name: "5"}
    assert items(json.dumps(document).encode()) == [document]
    assert items(json.dumps([document, {"a": document}]).encode())[0] == document


def test_an_absurd_number_does_not_end_an_array() -> None:
    [first, last] = items(b'[{"a":%s},{"b":1}]' % (b"9" * 5000))
    assert is_refused(first, "document 1")
    assert last == {"b": 1}


@given(lines=hostile.lines)
def test_a_line_is_a_document_or_a_refusal(lines: list[bytes]) -> None:
    rows = read(b'{"a":1}\n' + b"\n".join(lines))
    assert [row.place for row in rows] == list(range(1, len(lines) + 2))
    assert all(isinstance(row.item, ApiError) or (isinstance(row.item, dict) and row.item) for row in rows)
