"""Servers with settings of their own, for all the tests of this folder."""

import socket

import pytest

from tests.support.factories import FreshServer
from tests.support.server import LiveServer

PROXY = "127.0.0.2"


@pytest.fixture(scope="session")
def proxy() -> str:
    """The address of the proxy that `strict` trusts: another one of this machine's loopback addresses."""
    with socket.socket() as probe:
        try:
            probe.bind((PROXY, 0))
        except OSError:
            pytest.skip(f"this machine has no address {PROXY}")
    return PROXY


@pytest.fixture(scope="session")
def strict(lasting_server: FreshServer) -> LiveServer:
    """A server as it comes, which demands HTTPS, on all addresses of this machine; it trusts two proxies."""
    settings = {"API3_REQUIRE_HTTPS": None, "TRUSTED_PROXIES": f"{PROXY}, 10.0.0.0/8"}
    return lasting_server(env=settings, arguments=("--host", "0.0.0.0"))
