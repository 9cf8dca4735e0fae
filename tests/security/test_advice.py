"""Advice on roles: what grants nothing is told with the nearest that would; what grants more than it seems is spelled out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiv3.model import collections
from apiv3.model.identity import Role, Subject
from apiv3.security import advice, demands
from apiv3.security.permissions import LONGEST, Permission

EVERY = demands.every(collections.table(["weather"]).values())


def _said(*permissions: str) -> list[str]:
    return advice.on_role(Role("role", permissions), EVERY)


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("api:entries:raed", "api:entries:read"),
        ("api:entry:read", "api:entries:read"),
        ("api:entry:raed", "api:entries:read"),
        ("api:treatment:create,update", "api:treatments:create"),
        ("entries:read", "api:entries:read"),
        ("apis:food:read", "api:food:read"),
        ("*:*:raed", "*:*:read"),
        ("api:wether:read", "api:weather:read"),
        ("API:Entries:RAED", "api:entries:read"),
        ("api:entrys:read:abc", "api:entries:read"),
        ("api:settings:admin:abc", "api:settings:admin"),
        ("api:entries:admin", "api:entries:"),
        ("admin:api:subject:read", "admin:api:subjects:read"),
        ("notifications:entries:ack", "notifications:*:ack"),
        ("api::read", ":read"),
    ],
)
def test_what_matches_nothing_names_the_nearest(text: str, nearest: str) -> None:
    [sentence] = _said(text)
    said, _, named = sentence.partition("; the nearest is ")
    assert said == f"{text!r} matches nothing that this server demands"
    assert nearest in named


@pytest.mark.parametrize(
    ("text", "word", "nearest"),
    [
        ("api:entries:read,craete", "craete", "create"),
        ("api:entries,treatmens:read", "treatmens", "treatments"),
        ("api,amdin:food:read", "amdin", "api"),
        ("admin:api:subjects:read,updat", "updat", "update"),
        ("api:entries,fod:read:abc", "fod", "food"),
    ],
)
def test_a_word_that_matches_nothing(text: str, word: str, nearest: str) -> None:
    assert _said(text) == [f"{word!r} in {text!r} matches nothing that this server demands; the nearest is {nearest!r}"]


@pytest.mark.parametrize(
    ("text", "included"),
    [
        ("api:entries", "api:entries:create, api:entries:delete, api:entries:read, api:entries:update"),
        ("admin:api:permissions", "admin:api:permissions:read"),
        ("notifications", "notifications:*:ack"),
        ("api", " and 21 more"),
    ],
)
def test_what_is_left_out_is_spelled_out(text: str, included: str) -> None:
    [sentence] = _said(text)
    assert sentence.startswith(f"{text!r} includes ")
    assert sentence.endswith(included)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "*",
            "*:*:read",
            "api:*:read",
            "api:*:*",
            "api:entries:*",
            "api:entries:read",
            "API:Entries:Read",
            "api:entries:read,*",
        ),
        *("api:entries,food:read,update", "api:profile:read,update:My-Profile", "api:settings:admin", "notifications:*:ack"),
        *(demand.name for demand in EVERY),
    ],
)
def test_what_is_in_order_needs_no_words(text: str) -> None:
    assert _said(text) == []


def test_nothing_at_all() -> None:
    assert _said() == ["the role 'role' has no permissions, so it grants nothing"]
    bare, dressed = Subject("a" * 24, "bare", ()), Subject("b" * 24, "dressed", ("readable",))
    assert [len(advice.on_subject(bare, ())), advice.on_subject(bare, ("readable",)), advice.on_subject(dressed, ())] == [
        1,
        [],
        [],
    ]


def test_the_words_are_few() -> None:
    assert len(_said(*(f"api:food:{number}" for number in range(10_000)))) == advice.MOST
    assert len(_said("api:food:read," + ",".join(map(str, range(200))))) == advice.MOST


words = st.sampled_from(["*", "api", "admin", "entries", "settings", "READ", "read", "raed", "create", "subjects", "abc"])
texts = st.lists(st.lists(words, min_size=1, max_size=3).map(",".join), min_size=1, max_size=5).map(":".join)


@given(texts | st.text("ab:*,", max_size=LONGEST))
def test_who_is_told_that_nothing_matches_holds_nothing(text: str) -> None:
    try:
        permission = Permission.parse(text)
    except ValueError:
        return
    told = any(sentence.startswith(f"{text!r} matches nothing") for sentence in _said(text))
    documents = [demand.on("abc") for demand in EVERY if demand.parts[0] == "api" and demand.parts[2] != "admin"]
    assert not (told and any(permission.satisfies(demand) for demand in (*EVERY, *documents)))
