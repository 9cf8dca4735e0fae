"""What `apiv3 watch` and `apiv3 import --url` say when something is wrong never holds the token."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from apiv3.client.errors import Refused, Unreachable
from apiv3.client.http import Server
from tests.support.commands import here
from tests.support.installation import Installation
from tests.support.server import LiveServer

TOKEN = "phone-0123456789abcdef"


@pytest.mark.parametrize("token", [f"{TOKEN} ", f"{TOKEN}\r\n", f"\t{TOKEN}\n", f" {TOKEN}"])
def test_blanks_that_come_with_copying_do_no_harm(token: str) -> None:
    assert Server("http://h", token).headers()["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    "token", [f'"{TOKEN}"', f"Bearer {TOKEN}", f"{TOKEN}\n{TOKEN}", f"{TOKEN}\0", f"token={TOKEN}", f"{TOKEN}\x7f"]
)
def test_what_cannot_be_a_token_is_refused_and_not_quoted(token: str) -> None:
    with pytest.raises(Refused, match="no token has") as refused:
        Server("http://h", token)
    assert "0123456789" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        f"http://127.0.0.1:1/?token={TOKEN}",
        f"http://127.0.0.1:1/#{TOKEN}",
        f"http://me:{TOKEN}@127.0.0.1:1",
        f"http://{TOKEN}@127.0.0.1:1/",
        f"http://127.0.0.1:1/api/v2/authorization/request/{TOKEN}",
        TOKEN,
        f"http://127.0.0.1:x/{TOKEN}",
    ],
)
def test_a_token_in_the_address_is_not_shown(url: str) -> None:
    with pytest.raises(Unreachable) as refused:
        Server(url, TOKEN).call("GET", "/api/v3/version")
    assert "0123456789" not in str(refused.value)


@pytest.mark.parametrize("token", [f"{TOKEN} x", f"{TOKEN}\n", f"{TOKEN}\x01"])
@pytest.mark.parametrize("query", ["", f"/?token={TOKEN}"])
def test_the_commands_do_not_print_it(
    shared_servers: Callable[[str], LiveServer], tmp_path: Path, token: str, query: str
) -> None:
    server = shared_servers("sqlite")
    (tmp_path / "entries.json").write_text('[{"date": 1700000000000, "app": "test"}]')
    installation = Installation(tmp_path, "", {"APIV3_TOKEN": token})
    for command in (("watch",), ("import", "entries.json")):
        done = here(installation, *command, "--url", server.url + query)
        assert done.status == 1
        assert "Error: " in done.errors
        assert "0123456789" not in done.errors + done.output
