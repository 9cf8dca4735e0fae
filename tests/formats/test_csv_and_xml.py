"""Documents as CSV and XML that any parser reads back."""

import csv
import io
import re
import sys
import xml.etree.ElementTree as ET
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from apiv3.formats.csv import csv_documents
from apiv3.formats.xml import xml_document, xml_documents, xml_name

DECLARATION = "<?xml version='1.0' encoding='utf-8'?>"

numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
names = st.text(max_size=8) | st.sampled_from(["", "tags", "entries", "s", "ies", "xml", "XMLs", "a b", "1st", "_x0041_"])
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
documents = st.dictionaries(names, values, max_size=6)

# A crowded machine is no failure.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


# --- CSV ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_documents", "text"),
    [
        ([], ""),
        ([{}, {}], ""),
        ([{"b": 1, "a": "x"}, {"c": None, "a": "y"}], "b,a,c\r\n1,x,\r\n,y,\r\n"),
        ([{"t": True, "f": False, "n": None}], "t,f,n\r\ntrue,false,\r\n"),
        ([{"i": 2**63 - 1, "f": 4.25, "e": 1e300, "z": 5.0}], "i,f,e,z\r\n9223372036854775807,4.25,1e+300,5.0\r\n"),
        ([{"tags": [2, "b"], "o": {"name": "kůň"}}], 'tags,o\r\n"[2,""b""]","{""name"":""kůň""}"\r\n'),
        ([{"a": "007", "b": 'say "hi", you\r\nthere\n'}], 'a,b\r\n007,"say ""hi"", you\r\nthere\n"\r\n'),
        ([{"only": None}, {"only": ""}], 'only\r\n""\r\n""\r\n'),
        ([{"": "nameless"}], '""\r\nnameless\r\n'),
    ],
)
def test_csv(given_documents: list[dict[str, Any]], text: str) -> None:
    assert csv_documents(given_documents).decode() == text


@patient
@given(st.lists(documents, max_size=4))
def test_csv_reads_back(given_documents: list[dict[str, Any]]) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_documents(given_documents).decode()), strict=True))
    fields = {field for document in given_documents for field in document}
    assert len(rows) == (len(given_documents) if fields else 0)
    for row, document in zip(rows, given_documents, strict=False):
        assert row == {field: cell(document.get(field)) for field in fields}


def cell(value: Any) -> str:
    """What a reader should find in a cell."""
    return value if isinstance(value, str) else "" if value is None else orjson.dumps(value).decode()


# --- XML ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "inside"),
    [
        ({}, ""),
        ({"a": None, "b": "", "c": [], "d": {}}, "<a></a><b></b><c></c><d></d>"),
        ({"t": True, "f": False, "i": -5, "x": 0.1}, "<t>true</t><f>false</f><i>-5</i><x>0.1</x>"),
        ({"tags": ["a", 1]}, "<tags><tag>a</tag><tag>1</tag></tags>"),
        ({"entries": [1]}, "<entries><entry>1</entry></entries>"),
        ({"list": [{"x": 1}]}, "<list><list><x>1</x></list></list>"),
        ({"s": [1], "address": [2]}, "<s><s>1</s></s><address><address>2</address></address>"),
        ({"rows": [[1, 2], []]}, "<rows><row><row>1</row><row>2</row></row><row></row></rows>"),
        ({"x" * 65: [0]}, f"<{'x' * 65}><item>0</item></{'x' * 65}>"),
        ({"o": {"deep": {"value": "kůň 🐎"}}}, "<o><deep><value>kůň 🐎</value></deep></o>"),
        ({"t": "a<b>&\"'\r\n]]>"}, "<t>a&lt;b&gt;&amp;\"'&#13;\n]]&gt;</t>"),
        ({"t": "\x00\x0b\x1f\ufffe\uffff\ud800|\x7f\x85"}, "<t>" + "\ufffd" * 6 + "|\x7f\x85</t>"),
    ],
)
def test_xml(document: dict[str, Any], inside: str) -> None:
    assert xml_document(document).decode() == f"{DECLARATION}<item>{inside}</item>"


def test_xml_of_several_documents() -> None:
    assert xml_documents([]).decode() == f"{DECLARATION}<items />"
    assert xml_documents([{"a": 1}, {}]).decode() == f"{DECLARATION}<items><item><a>1</a></item><item></item></items>"


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("eventType", "eventType"),
        ("žluťoučký-kůň.2", "žluťoučký-kůň.2"),
        ("", "_x_"),
        ("_x_", "_x005F_x_"),
        ("_", "_"),
        ("_id", "_id"),
        ("_xyz", "_xyz"),
        ("_x0041_", "_x005F_x0041_"),
        ("2nd try", "_x0032_nd_x0020_try"),
        ("-a", "_x002D_a"),
        ("ns:name", "ns_x003A_name"),
        ("XmlThing", "_x0058_mlThing"),
        ("axml", "axml"),
        ("😀\x00", "_x1F600__x0000_"),
        ("a>b</item>", "a_x003E_b_x003C__x002F_item_x003E_"),
    ],
)
def test_xml_names(name: str, escaped: str) -> None:
    assert xml_name(name) == escaped


@patient
@given(names | st.text("_xX04Fm l", max_size=12))
@example("_x0020 ")
@example("_x_ ")
def test_xml_names_are_reversible(name: str) -> None:
    assert original(xml_name(name)) == name


def original(name: str) -> str:
    """Undo the escaping of a name, as its docstring says."""
    return "" if name == "_x_" else re.sub("_x([0-9A-F]{4,6})_", lambda found: chr(int(found[1], 16)), name)


def test_every_character_makes_a_name_that_parses() -> None:
    everything = (chr(code) for code in range(sys.maxunicode + 1))
    characters = [each for code, each in enumerate(everything) if code < 0x600 or code % 97 == 0 or xml_name(each) == each]
    text = "".join(f"<{tag} />" for each in characters for tag in (xml_name(each), xml_name("a" + each)))
    assert len(ET.fromstring(f"<all>{text}</all>")) == 2 * len(characters)


@patient
@given(st.lists(documents, max_size=3))
def test_xml_reads_back(given_documents: list[dict[str, Any]]) -> None:
    root = ET.fromstring(xml_documents(given_documents))
    assert root.tag == "items"
    assert [child.tag for child in root] == ["item"] * len(given_documents)
    for element, document in zip(root, given_documents, strict=True):
        assert_holds(element, document)
        assert_holds(ET.fromstring(xml_document(document)), document)


def assert_holds(element: ET.Element, value: Any) -> None:
    """Compare an element with the value that it was made from."""
    if isinstance(value, dict):
        assert [original(child.tag) for child in element] == list(value)
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        for child, each in zip(element, inner, strict=True):
            assert_holds(child, each)
    else:
        assert (element.text or "") == re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "\ufffd", cell(value))


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"xml key": inner}])
def test_deep_nesting(wrap: Any) -> None:
    value: Any = "bottom"
    for _ in range(200):
        value = wrap(value)
    root = ET.fromstring(xml_document({"deep": value}))
    assert "".join(root.itertext()) == "bottom"
    (row,) = csv.DictReader(io.StringIO(csv_documents([{"deep": value}]).decode()))
    assert orjson.loads(row["deep"]) == value


def test_a_long_text_reads_back() -> None:
    text = "<&>\r🍎a" * 30_000
    root = ET.fromstring(xml_document({"notes": text, "more": [text]}))
    assert [each.text for each in root.iter() if each.text] == [text, text]


def test_a_long_name_does_not_multiply() -> None:
    assert len(xml_document({"n" * 100_000: [0] * 100_000})) < 2_000_000


@pytest.mark.parametrize("tail", ["", ",", '"', "\n", "\r", " ", "'"])
def test_long_texts_are_quoted_as_csv_writer_quotes_them(tail: str) -> None:
    document = {"a": "x" * 70_000 + tail, "b": None, "c": 'a"b', "d": 1, "e": ""}
    expected = io.StringIO()
    csv.writer(expected).writerows([document, [document["a"], "", 'a"b', "1", ""]])
    assert csv_documents([document]).decode() == expected.getvalue()
