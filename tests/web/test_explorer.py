"""The page of the API on the wire: all routes, also without JavaScript. tests/browser/ looks at it as people do."""

import html
import re

import httpx
import pytest

from tests.support.server import LiveServer
from tests.support.wire import undated


@pytest.fixture
def page(server: LiveServer) -> str:
    answer = undated(server).get("/api3-docs")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    return answer.text


def _rows(page: str, section: str) -> list[list[str]]:
    """The cells of a section's table as they are read."""
    table = page.partition(f'<h3 id="{section}">')[2].partition("</table>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
    cells = [re.findall(r"<t[dh].*?>(.*?)</t[dh]>", row, re.DOTALL) for row in rows]
    return [[html.unescape(re.sub("<[^>]*>", "", cell)) for cell in row] for row in cells]


def test_it_is_public(page: str, server: LiveServer) -> None:
    assert undated(server).get("/api/v3/entries").status_code == 401


def test_routes_stand_with_what_they_are_about(page: str) -> None:
    sections = re.findall(r'<h3 id="(.*?)">', page)
    assert {"Server", "entries", "treatments", "settings", "Administration", "Live", "Pages"} < set(sections)
    assert set(sections) <= set(re.findall(r'<a href="#(.*?)">', page))
    assert all(_rows(page, name)[0] == ["Method", "URL", "Permission", "Scope", "What it does"] for name in sections)
    assert [row[:4] for row in _rows(page, "settings")[1:3]] == [
        ["GET", "/api/v3/settings .json .csv .xml", "api:settings:admin", "execute"],
        ["POST", "/api/v3/settings", "api:settings:create or api:settings:update", "write"],
    ]
    assert ["GET", "/api/v3/openapi.json", "none"] in [row[:3] for row in _rows(page, "Server")]
    assert [row[1] for row in _rows(page, "Live")[1:]] == ["/socket.io"] * 2
    assert ["GET", "/api3-docs", "none"] in [row[:3] for row in _rows(page, "Pages")]


def test_code_in_descriptions_is_shown_as_code(page: str, server: LiveServer) -> None:
    assert "`" not in page
    assert "<code>permanent=true</code>" in page
    description = httpx.get(f"{server.url}/api/v3/openapi.json", trust_env=False).json()
    assert not [each for path in description["paths"].values() for each in path.values() if "`" in each["summary"]]
