"""Permissions mean what Apache Shiro's mean; a demand for one document is matched literally."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiv3.security.permissions import LONGEST, Demand, Permission, PermissionSet, check_meant, split

SHIRO = Path(__file__).parents[1] / "data/conformance/shiro.tsv"

# Grant, demand, whether the one implies the other.
TABLE = [
    # one part after the other
    ("api:entries:read", "api:entries:read", True),
    ("api:entries:read", "api:entries:create", False),
    ("api:entries:read", "api:treatments:read", False),
    ("api:entries:read", "admin:entries:read", False),
    # a star matches one whole part, and only that
    ("*", "api:entries:read", True),
    ("*:*:read", "api:entries:read", True),
    ("*:*:read", "api:entries:create", False),
    ("*:*:read", "admin:api:subjects:read", False),
    ("api:*:create,read", "api:food:read", True),
    ("api:ent*:read", "api:entries:read", False),
    ("api:entries:read", "api:*:read", False),
    # alternatives: all of the demanded ones must be granted
    ("api:entries,food:read", "api:food:read", True),
    ("api:entries:read,create", "api:entries:create,read", True),
    ("api:entries:read", "api:entries:create,read", False),
    # what is left out at the end of a grant is implied; what is left out of a demand is not
    ("api", "api:entries:read", True),
    ("api:entries", "api:entries:read:abc", True),
    ("api:entries:read:abc", "api:entries:read", False),
    ("api:entries:*", "api:entries", True),
    ("api:entries:read:*:*", "api:entries:read", True),
    # letters' case, blanks at the ends
    ("API:Entries:READ", "api:entries:read", True),
    ("  api:entries:read\n", "api:entries:read", True),
    ("api: entries:read", "api:entries:read", False),
    # dividers at the end count for nothing, an empty part in the middle is a part
    ("api:entries:read:", "api:entries:read", True),
    ("api:entries:read::", "api:entries:read", True),
    ("api::read", "api:entries:read", False),
]


@pytest.mark.parametrize(("grant", "demand", "verdict"), TABLE)
def test_implication(grant: str, demand: str, verdict: bool) -> None:
    assert Permission.parse(grant).implies(Permission.parse(demand)) is verdict


@pytest.mark.parametrize("text", ["", " ", "\t\n", ":", "::", ",", "api:,", "api:,:read", ",,:a", "x" * (LONGEST + 1)])
def test_a_malformed_permission_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Permission.parse(text)


def test_every_row_of_the_reference_implementation() -> None:
    rows = [line.split("\t") for line in SHIRO.read_text().split("\n") if line]
    assert len(rows) >= 3000
    assert [(grant, demand, verdict) for grant, demand, verdict in rows if _verdict(grant, demand) != verdict] == []


def _verdict(grant: str, demand: str) -> str:
    try:
        granted = Permission.parse(grant)
    except ValueError:
        return "bad-grant"
    try:
        return "1" if granted.implies(Permission.parse(demand)) else "0"
    except ValueError:
        return "bad-demand"


# What somebody writes into a role that means something else than it does, if it means anything.
NOT_MEANT = [
    "api:entries:read, api:treatments:*",
    "api:entries:read api:treatments:*",
    "api: entries:read",
    "api:entries: read",
    "api:entries\t:read",
    "api:entries\u00a0:read",
    "api:entries:re\u200bad",
    "api:entries:read;",
    "api:entries:read;api:food:read",
    '"api:entries:read"',
    "'api:entries:read'",
    "`api:entries:read`",
    "“api:entries:read”",
    "«api:entries:read»",
    "api.entries.read",
    "api:entries.read",
    "api/entries/read",
    "api:entries|food:read",
    "api:entries:read:'abc'",
    "api:entries:read:a b",
    "api:entries:read:abc;",
    "api:entries:read,api:food:read",
    "api:entries:read:abc:def",
]
MEANT = [
    *("*", "api", "api:entries", "api:*:read", "*:*:read", "api:entries:read", "API:Entries:READ", " api:entries:read\n"),
    *("api:entries,food:read,update", "api:entries:read:", "api:entries:read:*:*", "api:entries:raed", "api:trend_line:read"),
    *("api:entries:read:a.csv", "api:entries:read:95e1a6e3-1146-5d6a-a3f1-41567cae0895,Größe", "api:entries:read:a/b+c="),
    *("admin:api:subjects:read", "notifications:*:ack", "api:devicestatus-upload:create"),
]


@pytest.mark.parametrize("text", ["", ":", "api:,:read", *NOT_MEANT])
def test_what_cannot_be_meant_is_no_permission_of_a_role(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        check_meant(text)


@pytest.mark.parametrize("text", MEANT)
def test_what_can_be_meant(text: str) -> None:
    check_meant(text)


@given(st.text(max_size=30) | st.lists(st.sampled_from(["api", "*", ":", ",", " ", "a.b", ";", "read"])).map("".join))
def test_what_can_be_meant_is_a_permission(text: str) -> None:
    try:
        check_meant(text)
    except ValueError:
        return
    Permission.parse(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (" , ", []),
        ("*", ["*"]),
        ("api:entries:create,update", ["api:entries:create,update"]),
        ("api:entries:create,update,api:food:read", ["api:entries:create,update", "api:food:read"]),
        ("api:a:read,api:b:read", ["api:a:read", "api:b:read"]),
        ("api:a:read api:b:read", ["api:a:read", "api:b:read"]),
        (" api:a:read,  api:b:read, ", ["api:a:read", "api:b:read"]),
        ("api:entries:read,*:*:read", ["api:entries:read", "*:*:read"]),
        ("*,API:food:read", ["*", "API:food:read"]),
        ("* x:y", ["*", "x:y"]),
        ("a:b:c,d:e:f", ["a:b:c", "d:e:f"]),
        # The pieces would grant all of `entries`.
        ("api:entries,treatments:read", ["api:entries,treatments:read"]),
        ("api:entries,*:read", ["api:entries,*:read"]),
        # What is unclear stays together, and is refused.
        ("api:entries:create, update", ["api:entries:create, update"]),
        ("api:entries:read *", ["api:entries:read *"]),
    ],
)
def test_several_permissions_in_one_text(text: str, found: list[str]) -> None:
    assert split(text) == found


permissions_of_roles = st.lists(
    st.tuples(
        st.sampled_from(["api", "admin", "notifications"]),
        st.lists(st.sampled_from(["entries", "food", "*"]), min_size=1, max_size=3).map(",".join),
        st.lists(st.sampled_from(["read", "create", "update"]), min_size=1, max_size=3).map(",".join),
    ).map(":".join),
    max_size=4,
)


@given(permissions_of_roles, st.sampled_from([" ", ",", ", ", "  ", "\n"]))
def test_what_is_joined_comes_apart_again(permissions: list[str], divider: str) -> None:
    assert split(divider.join(permissions)) == permissions


# --- properties of implication ----------------------------------------------------------------------------------------

words = st.sampled_from(["*", "api", "entries", "READ", "read", "abc", "a-b", " x"])
parts = st.lists(words, min_size=1, max_size=3).map(",".join)
texts = st.lists(parts, min_size=1, max_size=5).map(":".join)


@given(st.text(max_size=30) | texts)
def test_any_text_is_a_permission_or_refused(text: str) -> None:
    try:
        permission = Permission.parse(text)
    except ValueError:
        return
    assert permission.implies(permission)
    assert Permission.parse("*").implies(permission)


@given(texts, texts, texts)
def test_implication_is_transitive(one: str, two: str, three: str) -> None:
    first, second, third = map(Permission.parse, (one, two, three))
    if first.implies(second) and second.implies(third):
        assert first.implies(third)


@given(texts, texts, parts)
def test_what_implies_a_demand_implies_a_narrower_one(grant: str, demand: str, further: str) -> None:
    granted = Permission.parse(grant)
    if granted.implies(Permission.parse(demand)):
        assert granted.implies(Permission.parse(f"{demand}:{further}"))
        for narrower in _with_fewer_alternatives(demand):
            assert granted.implies(Permission.parse(narrower))


@given(texts, texts, parts)
def test_what_a_grant_implies_a_wider_one_implies(grant: str, demand: str, further: str) -> None:
    wanted = Permission.parse(demand)
    if Permission.parse(grant).implies(wanted):
        shorter, _, _ = grant.rpartition(":")
        for wider in (shorter or "*", f"{grant},{further}", _starred(grant)):
            assert Permission.parse(wider).implies(wanted)


@given(texts, texts)
def test_case_never_matters(grant: str, demand: str) -> None:
    verdict = Permission.parse(grant).implies(Permission.parse(demand))
    assert Permission.parse(grant.upper()).implies(Permission.parse(demand.lower())) is verdict


def _with_fewer_alternatives(text: str) -> list[str]:
    split = [part.split(",") for part in text.split(":")]
    narrower = [":".join(part[0] for part in split)]
    # A star is every alternative, so one word is narrower.
    return [*narrower, text.replace("*", "abc")]


def _starred(text: str) -> str:
    first, divider, rest = text.partition(":")
    return f"{first},*{divider}{rest}"


# --- demands ----------------------------------------------------------------------------------------------------------

READ = Demand.of("api", "entries", "read")

# Grant, identifier, whether it may be read.
INSTANCES = [
    ("api:entries:read:abc", "abc", True),
    ("api:entries:read:abc", "Abc", False),
    ("api:entries:read:Abc", "Abc", True),
    ("api:entries:read:Abc", "abc", False),
    ("API:Entries:READ:Abc", "Abc", True),
    ("api:entries:read:abc", "abcd", False),
    ("api:entries:read:abc", "ab", False),
    ("api:entries:read:abc", "", False),
    ("api:entries:read:abc", " abc", False),
    ("api:entries:update:abc", "abc", False),
    ("api:treatments:read:abc", "abc", False),
    # identifiers that would mean something if they were parsed
    ("api:entries:read:abc", "*", False),
    ("api:entries:read:abc", "abc,def", False),
    ("api:entries:read:abc,def", "abc", True),
    ("api:entries:read:abc,def", "def", True),
    ("api:entries:read:abc,def", "abc,def", False),
    ("api:entries:read:abc", "abc:def", False),
    ("api:entries:read:abc:def", "abc:def", False),
    ("api:entries:read:abc:def", "abc", False),
    ("api:entries:read:abc", "abc:", False),
    ("api:entries:read:abc", "abc,", False),
    # a right to all of them
    ("api:entries:read", "abc", True),
    ("api:entries:read", "a:b,c*", True),
    ("api:entries:read:*", "abc", True),
    ("api:entries:read:x,*", "abc", True),
    ("api:entries:read:*", "a:b", True),
    ("*:*:read", "*", True),
    ("*", "", True),
]


@pytest.mark.parametrize(("grant", "identifier", "verdict"), INSTANCES)
def test_a_demand_for_one_document(grant: str, identifier: str, verdict: bool) -> None:
    assert _grants(grant).satisfies(READ.on(identifier)) is verdict
    assert Permission.parse(grant).satisfies(READ.on(identifier)) is verdict


def test_a_right_to_one_document_is_none_to_the_collection() -> None:
    assert not _grants("api:entries:read:abc").satisfies(READ)
    assert _grants("api:entries:read:*").satisfies(READ)


def test_a_refusal_names_the_permission_without_the_document() -> None:
    assert READ.on("a:b,c").name == "api:entries:read"


def test_one_of_several_permissions_is_enough() -> None:
    granted = _grants("api:food:read", "api:entries:read:one", "api:entries:read:two")
    assert granted.satisfies(Demand.of("api", "food", "read"))
    assert [granted.satisfies(READ.on(identifier)) for identifier in ("one", "two", "three")] == [True, True, False]
    assert not PermissionSet([]).satisfies(READ)


def test_an_answer_is_the_same_when_it_is_asked_for_again() -> None:
    granted = _grants("api:entries:read:abc")
    for _ in range(2):
        assert granted.satisfies(READ.on("abc"))
        assert not granted.satisfies(READ)
        assert not granted.satisfies(READ.on("Abc"))


@given(st.lists(texts, max_size=3), st.text(max_size=20))
def test_a_right_to_the_collection_is_one_to_every_document(grants: list[str], identifier: str) -> None:
    granted = _grants(*grants)
    if granted.satisfies(READ):
        assert granted.satisfies(READ.on(identifier))


@given(st.text(max_size=20), st.sampled_from(["abc", "Abc", "x-1", "95e1a6e3-1146-5d6a-a3f1-41567cae0895"]))
def test_a_right_to_one_document_is_one_to_no_other(identifier: str, granted: str) -> None:
    assert _grants(f"api:entries:read:{granted}").satisfies(READ.on(identifier)) is (identifier == granted)


@given(texts, st.lists(st.sampled_from(["api", "entries", "read", "abc"]), min_size=1, max_size=5))
def test_a_demand_is_judged_as_the_permission_of_its_parts(grant: str, wanted: list[str]) -> None:
    granted = Permission.parse(grant)
    assert granted.satisfies(Demand.of(*wanted)) is granted.implies(Permission.parse(":".join(wanted)))


def _grants(*permissions: str) -> PermissionSet:
    return PermissionSet(map(Permission.parse, permissions))
