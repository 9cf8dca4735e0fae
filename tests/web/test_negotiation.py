"""Formats: what an Accept header chooses."""

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apiv3.web.negotiation import Format, negotiate

# A crowded machine is no failure.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_a_format_knows_its_extension_and_media_type() -> None:
    assert [(each.extension, each.media_type) for each in Format] == [
        ("json", "application/json; charset=utf-8"),
        ("csv", "text/csv; charset=utf-8"),
        ("xml", "application/xml; charset=utf-8"),
    ]
    assert Format("csv") is Format.CSV


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        # no preference
        (None, Format.JSON),
        ("", Format.JSON),
        ("*/*", Format.JSON),
        ("*; q=.2, image/gif", Format.JSON),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", Format.JSON),
        # one type
        ("application/json", Format.JSON),
        ("application/json; charset=utf-8", Format.JSON),
        ("application/json;version=1", Format.JSON),
        ("text/csv", Format.CSV),
        ("TEXT/CSV", Format.CSV),
        (" text/csv ;", Format.CSV),
        ("application/xml", Format.XML),
        ("text/xml", Format.XML),
        # ranges and ties
        ("application/*", Format.JSON),
        ("text/*", Format.CSV),
        ("application/xml, text/csv", Format.CSV),
        ("application/xml, text/csv, application/json", Format.JSON),
        # weights
        ("text/csv;q=0.5, application/xml;q=0.6", Format.XML),
        ("text/csv;Q=0.5, application/xml; q = 0.6", Format.XML),
        ("application/json;q=0.001, text/csv;q=0", Format.JSON),
        ("*/*, application/json;q=0.1", Format.CSV),
        ("application/json;q=0, */*", Format.CSV),
        ("*/*;q=0.5, application/*;q=0.1, application/xml", Format.XML),
        ("text/xml;q=0, application/xml", Format.XML),
        ("text/csv;q=1.000, application/xml;q=0.999", Format.CSV),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format.XML),
        ('text/csv;note="a,b;q=0";q=0.9, application/json;q=0.8', Format.CSV),
        (r'text/csv;note="a\",application/json"', Format.CSV),
        ("text/csv;q=0.4;extension, application/xml;q=0.3", Format.CSV),
        # nothing acceptable
        ("image/png", None),
        ("text/plain, image/*", None),
        ("*/*;q=0", None),
        ("text/csv;q=0.0", None),
        # malformed members are ignored
        ("text/csv;q=2, application/xml", Format.XML),
        ("text/csv;q=-1, application/xml", Format.XML),
        ("text/csv;q, application/xml", Format.XML),
        ('text/csv;q="1", application/xml', Format.XML),
        ("text/csv;q=\u0660, application/xml", Format.XML),
        ("text /csv, application/xml", Format.XML),
        (",, ,text/csv,", Format.CSV),
        ("/, image/png", None),
        # nothing parsable is no preference
        ("csv", Format.JSON),
        ("text/csv;q=x", Format.JSON),
        ('text/csv;note="never closed, image/png', Format.JSON),
        (",;,=", Format.JSON),
    ],
)
def test_negotiation(accept: str | None, chosen: Format | None) -> None:
    assert negotiate(accept) is chosen


@patient
@given(
    st.text()
    | st.text('abcxml/*+;,="q01. \\\t')
    | st.lists(st.sampled_from(["text/csv", "*/*", "application/", "*", ";", "q=", "0.5", ",", '"', "\\", " "])).map("".join)
)
def test_negotiation_never_raises(accept: str) -> None:
    assert negotiate(accept) in {None, *Format}


@pytest.mark.parametrize("bait", ["a/b,", ";", " ; ", '"', '"\\', '\\"', 'a/b;x="', "text/csv;q=0.", "0", " \t", "*/"])
def test_a_hostile_header_costs_little(bait: str) -> None:
    started = time.process_time()
    for prefix in ("", "a/b;", 'a/b;x="', "a/b;q=0."):
        negotiate(prefix + bait * 1_000_000)
    assert time.process_time() - started < 0.5


def test_a_cut_header_does_not_read_half_a_member() -> None:
    assert negotiate("image/png," + " " * (4096 - 10 - len("text/csv;q=0.1")) + "text/csv;q=0.123") is None
