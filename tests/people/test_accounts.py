"""People get accounts by the command line; what is refused leaves nothing behind."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.commands import here
from tests.support.factories import NewDatabase
from tests.support.installation import Installation
from tests.support.people import PASSWORD, add_person, done, trail, user

FIELDS = ["_id", "name", "email", "roles", "groups", "ous", "disabled", "created_at"]


@pytest.fixture
def place(database: str, new_database: NewDatabase, tmp_path: Path) -> Iterator[Installation]:
    """An installation of its own on each kind of database."""
    with new_database(database, migrated=True) as url:
        yield Installation(tmp_path, url)


def emails(place: Installation) -> list[str]:
    return [each["email"] for each in done(user(place, "list", "--json"))]


def test_a_person_from_beginning_to_end(place: Installation) -> None:
    added = add_person(place, "Anna@X.example", None, "readable", "careportal", name="Anna Example")
    assert list(added) == [*FIELDS, "invitation"]
    assert added | {"name": "Anna Example", "roles": ["readable", "careportal"], "disabled": False} == added
    assert added["email"] == "Anna@x.example"
    shown = done(user(place, "show", "ANNA@x.EXAMPLE", "--json"))
    assert shown == {name: added[name] for name in FIELDS}
    assert done(user(place, "show", added["_id"], "--json")) == shown
    assert done(user(place, "disable", "anna@x.example", "--json"))["disabled"] is True
    assert done(user(place, "enable", "anna@x.example", "--json"))["disabled"] is False
    changed = done(user(place, "change", "anna@x.example", "--role", "activity", "--email", "ann@x.example", "--json"))
    assert (changed["email"], changed["roles"], changed["_id"]) == ("ann@x.example", ["activity"], added["_id"])
    assert user(place, "show", "anna@x.example").status == 1
    assert done(user(place, "invite", "ann@x.example", "--json"))["invitation"].startswith("/invitation/")
    assert done(user(place, "password", "ann@x.example", "--json", password=PASSWORD)) == changed
    assert done(user(place, "remove", "ann@x.example", "--json")) == changed
    assert emails(place) == []
    assert "Anna" not in here(place, "subject", "list").output


def test_a_person_is_a_subject(place: Installation) -> None:
    person = add_person(place, "anna@x.example", name="Anna")
    [found] = done(here(place, "subject", "list", "--json"))
    assert (found["_id"], found["name"], found["roles"]) == (person["_id"], "Anna", ["readable"])
    assert here(place, "check", "Anna", "api:entries:read").status == 0
    assert here(place, "check", "Anna", "api:entries:create").status == 1
    refused = here(place, "subject", "change", "Anna", "--no-roles")
    assert (refused.status, refused.errors) == (1, "Error: A person has at least one role\n")
    assert here(place, "subject", "remove", "Anna").status == 0
    assert emails(place) == []
    assert add_person(place, "anna@x.example")["_id"] != person["_id"]


def test_one_address_has_one_account(place: Installation) -> None:
    add_person(place, "anna@x.example")
    add_person(place, "other@x.example", name="other")
    for spelling in ("Anna@X.Example", "ANNA@x.example", " anna@x.example "):
        refused = user(place, "add", spelling, "--role", "readable", "--name", "another")
        assert (refused.status, refused.errors) == (1, "Error: There is an account for anna@x.example already\n")
    assert user(place, "change", "other@x.example", "--email", "ANNA@x.example").status == 1
    assert emails(place) == ["anna@x.example", "other@x.example"]


def test_letters_that_only_look_alike_are_others(place: Installation) -> None:
    add_person(place, "mike@example.org")
    assert user(place, "show", "mıke@example.org").status == 1
    add_person(place, "mıke@example.org")
    assert emails(place) == ["mike@example.org", "mıke@example.org"]


def test_a_domain_is_known_in_both_its_forms(place: Installation) -> None:
    add_person(place, "a@bücher.example")
    assert done(user(place, "show", "A@XN--BCHER-KVA.example", "--json"))["email"] == "a@bücher.example"


@pytest.mark.parametrize("address", ["anna", "anna@", "@x.example", "a@b", "a b@x.example", "a@x..example", "a" * 400, ""])
def test_what_is_no_address_is_refused(address: str, tmp_path: Path) -> None:
    refused = user(Installation(tmp_path, f"sqlite:///{tmp_path}/a.db"), "add", address, "--role", "readable")
    assert refused.status == 1
    assert refused.errors.splitlines()[-1].startswith("Error: Bad email: ")


def test_a_person_has_roles_that_exist(place: Installation) -> None:
    assert user(place, "add", "anna@x.example").status == 2
    refused = user(place, "add", "anna@x.example", "--role", "nonsense")
    assert "Unknown role 'nonsense'" in refused.errors
    assert emails(place) == []


def test_the_link_begins_with_the_public_url(place: Installation) -> None:
    place.settings = {"PUBLIC_URL": "https://data.example.org/"}
    done_ = user(place, "add", "anna@x.example", "--role", "readable")
    assert "    https://data.example.org/invitation/" in done_.output


# --- passwords

BAD: dict[str, str] = {
    "": "12 to 256",
    "eleven char": "12 to 256",
    "x" * 257: "12 to 256",
    "password1234": "commonly known",
    "PASSWORD1234": "commonly known",
    "passwordpassword": "commonly known",
    "123456789012": "commonly known",
    "my name is Anna Example!": "own name",
    "annaexample is here": "own name",
    "x anna.long@x.example x": "own name",
    "ＡＮＮＡ．ｌｏｎｇ is the one": "own name",
}


@pytest.mark.parametrize("password", BAD)
def test_a_bad_password_is_refused(password: str, tmp_path: Path) -> None:
    place = Installation(tmp_path, f"sqlite:///{tmp_path}/a.db")
    options = ("anna.long@x.example", "--role", "readable", "--name", "Anna Example")
    refused = user(place, "add", *options, password=password)
    assert refused.status == 1
    assert BAD[password] in refused.errors
    assert password == "" or password not in refused.errors
    assert emails(place) == []


@pytest.mark.parametrize("password", ["x" * 12, "x" * 256, "é" * 256, "𝒳" * 12, "tab\tand nul\0inside", "correct horse\n"])
def test_a_good_password_is_taken(password: str, tmp_path: Path) -> None:
    place = Installation(tmp_path, f"sqlite:///{tmp_path}/a.db")
    assert "invitation" not in add_person(place, "anna@x.example", password)


def test_nobody_is_asked_where_nobody_is(place: Installation) -> None:
    add_person(place, "anna@x.example")
    refused = user(place, "password", "anna@x.example")
    assert (refused.status, "--password-stdin" in refused.errors) == (2, True)


# --- the last administrator


@pytest.fixture
def administrators(place: Installation) -> Callable[..., None]:
    def make(*addresses: str) -> None:
        for address in addresses:
            add_person(place, address, PASSWORD, "admin")

    return make


WAYS_OUT = {
    "remove": ("user", "remove", "ben@x.example"),
    "disable": ("user", "disable", "ben@x.example"),
    "change": ("user", "change", "ben@x.example", "--role", "readable"),
    "subject change": ("subject", "change", "ben@x.example", "--role", "readable"),
    "subject remove": ("subject", "remove", "ben@x.example"),
    "role": ("role", "add", "admin", "api:entries:read"),
}


@pytest.mark.parametrize("way", WAYS_OUT)
def test_the_last_administrator_stays(way: str, place: Installation, administrators: Callable[..., None]) -> None:
    administrators("ben@x.example")
    add_person(place, "disabled@x.example", PASSWORD, "admin")
    assert user(place, "disable", "disabled@x.example").status == 0
    refused = here(place, *WAYS_OUT[way])
    assert (refused.status, refused.errors) == (
        1,
        "Error: This is the last active administrator; make another one first\n",
    )
    assert done(user(place, "show", "ben@x.example", "--json"))["disabled"] is False
    if way != "role":
        administrators("eve@x.example")
        assert here(place, *WAYS_OUT[way]).status == 0


def test_two_administrators_cannot_lose_each_other_at_once(place: Installation, administrators: Callable[..., None]) -> None:
    administrators("ben@x.example", "eve@x.example")
    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(lambda name: place.run("user", "disable", name).returncode, ["ben@x.example", "eve@x.example"]))
    assert sorted(both) == [0, 1]


# --- the audit trail


def test_each_change_has_its_entry(place: Installation) -> None:
    added = add_person(place, "anna@x.example", None, name="Anna")
    for command in ("invite", "disable", "enable"):
        assert user(place, command, "anna@x.example").status == 0
    assert user(place, "password", "anna@x.example", password=PASSWORD).status == 0
    assert user(place, "change", "anna@x.example", "--name", "Ann").status == 0
    assert here(place, "subject", "rotate", "Ann").status == 0
    assert user(place, "remove", "anna@x.example").status == 0
    here(place, "role", "add", "r", "api:entries:read")
    here(place, "role", "remove", "r")
    entries = trail(place)
    assert [each["action"] for each in entries] == [
        "account-made",
        "invitation-made",
        "invitation-made",
        "account-disabled",
        "account-enabled",
        "password-changed",
        "account-changed",
        "token-rotated",
        "account-removed",
        "role-made",
        "role-removed",
    ]
    assert list(entries[0]) == ["time", "actor", "action", "target", "address", "outcome", "details"]
    assert {each["actor"]["way"] for each in entries} == {"command line"}
    removal = entries[8]
    assert removal["target"] == {"kind": "person", "id": added["_id"], "name": "Ann", "email": "anna@x.example"}
    assert [each["action"] for each in trail(place, "--action", "role-made")] == ["role-made"]
    assert trail(place, "--actor", "nobody") == []
    assert trail(place, "--since", "2100-01-01") == []
    assert trail(place, "--since", removal["time"])[0] == removal
    assert trail(place, "--until", removal["time"]) == [each for each in entries if each["time"] < removal["time"]]
    assert [each["action"] for each in trail(place, "--target", added["_id"])] == [each["action"] for each in entries[:9]]
    assert trail(place, "--outcome", "failure") == []
    assert trail(place, "--last", "2") == entries[-2:]
    assert PASSWORD not in str(entries)


def test_what_is_refused_has_no_entry(place: Installation) -> None:
    add_person(place, "anna@x.example")
    before = trail(place)
    assert user(place, "change", "anna@x.example", "--role", "nonsense").status == 1
    assert trail(place) == before
