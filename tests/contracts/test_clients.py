"""Tokens and changes of their client at one moment: one suite, both databases."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from apiv3.model.clients import GRANT_TYPES, Application, Client
from apiv3.model.errors import OAuth2Error
from apiv3.model.grants import Request
from apiv3.model.identity import Subject
from apiv3.security.authors import OPERATOR
from apiv3.security.oauth2.access_tokens import AccessTokens
from apiv3.security.oauth2.authentication import Registry
from apiv3.security.oauth2.authorization import Authorization
from apiv3.security.oauth2.clients import Clients
from apiv3.security.oauth2.grants.client_credentials import ClientCredentialsGrant
from apiv3.security.oauth2.grants.device_code import DeviceCodeGrant
from apiv3.security.oauth2.issuing import Issuer, Lifetimes
from apiv3.security.oauth2.scopes import ScopeTable
from apiv3.security.policy import Policies
from apiv3.security.secrets import stored_digest
from apiv3.storage.clients import ClientTable
from apiv3.storage.database import Database
from apiv3.storage.grants import GrantTable
from apiv3.storage.policy import PolicyTable
from tests.support.storage import unique

SCOPES = ScopeTable()
WIDE, REDIRECT = ("api:entries:read", "api:treatments:read"), "https://x.example/cb"
KEY = "the key of all processes"


class Process:
    """The parts of one server process that know clients."""

    def __init__(self, database: Database) -> None:
        self.grants, self.table = GrantTable(database), ClientTable(database)
        self.policies, self.tokens = Policies(PolicyTable(database), "secret"), AccessTokens(self.grants)
        self.clients = Clients(self.table, self.grants, self.policies, SCOPES, self.tokens)
        self.issuer = Issuer(self.grants, Lifetimes(3600, 30), SCOPES)
        self.credentials = ClientCredentialsGrant(SCOPES, self.issuer)
        self.devices = DeviceCodeGrant(self.grants, SCOPES, self.policies, self.issuer, KEY)
        registry = Registry(self.table, "https://data.example", ("read",))
        self.authorization = Authorization(self.grants, registry, SCOPES, self.tokens)


@pytest.fixture
def here(opened: Database) -> Process:
    return Process(opened)


@pytest.fixture
def there(another: Database) -> Process:
    return Process(another)


@pytest.fixture
async def application(here: Process) -> Application:
    client = Client("", (REDIRECT,), WIDE, tuple(grant for grant in GRANT_TYPES if grant != "password"))
    await here.policies.refresh()
    return (await here.clients.add(client, Subject("", unique("application"), ()), OPERATOR, public=False)).application


Change = Callable[[Process, Application], Coroutine[Any, Any, Any]]


async def narrow(process: Process, application: Application) -> None:
    def change(stored: Application) -> Application:
        return stored._replace(client=replace(stored.client, scopes=WIDE[:1]))

    await process.clients.change(application.client.id, change, OPERATOR)


async def rotate(process: Process, application: Application) -> None:
    await process.clients.rotate(application.client.id, OPERATOR)


async def remove(process: Process, application: Application) -> None:
    await process.clients.remove(application.client.id, OPERATOR)


@pytest.mark.parametrize("change", [narrow, rotate, remove])
async def test_a_change_waits_for_a_token_and_ends_it(
    here: Process, there: Process, application: Application, change: Change
) -> None:
    async with here.issuer.transaction(application) as writer:
        changing = asyncio.create_task(change(there, application))
        _, issued = await here.issuer.begin(writer, application.client, application.subject, "client_credentials", WIDE, "")
        # A change that did not wait would be over by the end of this second, and miss the token.
        await asyncio.wait([changing], timeout=1)
        assert not changing.done()
    await changing
    assert (await there.grants.access(stored_digest(issued.access)))[1] is None


@pytest.mark.parametrize("change", [narrow, rotate, remove])
async def test_who_authenticated_before_a_change_gets_nothing_after_it(
    here: Process, there: Process, application: Application, change: Change
) -> None:
    await change(there, application)
    for refused in (here.credentials.issue(application, WIDE), here.devices.start(application, None)):
        with pytest.raises(OAuth2Error) as caught:
            await refused
        assert (caught.value.error, caught.value.status) == ("temporarily_unavailable", 503)


@pytest.mark.parametrize("change", [narrow, remove])
async def test_what_was_asked_before_a_change_is_not_allowed_after_it(
    here: Process, there: Process, application: Application, change: Change
) -> None:
    person = Subject(unique("person"), unique("Anna"), ())
    request = Request(application.client.id, REDIRECT, True, WIDE, "state", "challenge")
    assert await here.authorization.allow(request, person, None)
    await change(there, application)
    assert await here.authorization.allow(request, person, None) is None
    assert await here.grants.consented(person.id, application.client.id) is None
