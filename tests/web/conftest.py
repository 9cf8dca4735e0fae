"""Callers on the shared servers, and servers with settings that several files need."""

from collections.abc import Callable
from functools import cache

import httpx
import pytest

from tests.support.documents import Corner, NewApi, api_of
from tests.support.factories import FreshServer
from tests.support.server import LiveServer

ROOMY = {"API3_EXTRA_COLLECTIONS": "notes, pump_log", "CORS_ORIGINS": "https://app.example, http://localhost:3000"}
SPARSE = {
    "API3_DEDUP_FALLBACK_ENABLED": "false",
    "API3_CREATED_AT_FALLBACK_ENABLED": "off",
    "API3_MAX_LIMIT": "3",
    "API3_MAX_BODY": "2048",
    "CORS_ORIGINS": "*",
}


@pytest.fixture(scope="session")
def new_api() -> NewApi:
    """Makes clients of subjects, each of them once: `new_api(server, "api:*:create")`."""
    return cache(api_of)


@pytest.fixture
def api(server: LiveServer, new_api: NewApi) -> httpx.Client:
    """A caller who may do everything on the shared server."""
    return new_api(server, "api:*:*")


@pytest.fixture
def corner(api: httpx.Client) -> Corner:
    """A test's own documents among the treatments."""
    return Corner(api)


@pytest.fixture(scope="session")
def servers_with(lasting_server: FreshServer) -> Callable[[str, str], LiveServer]:
    kinds = {"roomy": ROOMY, "sparse": SPARSE}
    return cache(lambda database, kind: lasting_server(database, env=kinds[kind]))


@pytest.fixture
def roomy(database: str, servers_with: Callable[[str, str], LiveServer]) -> LiveServer:
    """A server with further collections, which pages of two sites may call."""
    return servers_with(database, "roomy")


@pytest.fixture
def sparse(database: str, servers_with: Callable[[str, str], LiveServer]) -> LiveServer:
    """A server without fallbacks and with narrow limits, which any page may call."""
    return servers_with(database, "sparse")


@pytest.fixture
def zoo(corner: Corner) -> Corner:
    """Documents of all kinds; the field is `x`."""
    kinds = [5, 5.5, -3, "5", "snack", "Snack Bar", True, False, None, [1, 5], ["snack", 7], {"y": 5}, [{"y": 6}, {"y": 7}]]
    corner.fill(*({"x": kind} for kind in kinds), {})
    return corner
