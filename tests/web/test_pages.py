"""The page `/`: every route for people, without anything that its policy would refuse."""

import html
import re

import httpx
import pytest

from tests.support.server import LiveServer


@pytest.fixture
def page(server: LiveServer) -> str:
    return httpx.get(server.url, trust_env=False).text


def _rows(page: str, section: str) -> list[list[str]]:
    """The cells of a section's table as they are read."""
    table = page.partition(f'<h2 id="{section}">')[2].partition("</table>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", table)
    return [
        [html.unescape(re.sub("<[^>]*>", "", cell)) for cell in re.findall(r"<t[dh].*?>(.*?)</t[dh]>", row)] for row in rows
    ]


def test_routes_stand_with_what_they_are_about(page: str) -> None:
    sections = re.findall(r'<h2 id="(.*?)">', page)
    assert {"Server", "entries", "treatments", "settings", "Administration", "Live"} < set(sections)
    assert sections == re.findall(r'<a href="#(.*?)">', page)
    assert all(_rows(page, name)[0] == ["Method", "URL", "Permission", "What it does"] for name in sections)
    assert [row[:3] for row in _rows(page, "settings")[1:3]] == [
        ["GET", "/api/v3/settings .json .csv .xml", "api:settings:admin"],
        ["POST", "/api/v3/settings", "api:settings:create or api:settings:update"],
    ]
    assert ["GET", "/api/v3/openapi.json", "none"] in [row[:3] for row in _rows(page, "Server")]
    assert [row[1] for row in _rows(page, "Live")[1:]] == ["/socket.io"] * 2


def test_code_in_descriptions_is_shown_as_code(page: str) -> None:
    assert "`" not in page
    assert "<code>permanent=true</code>" in page


def test_it_loads_nothing(page: str) -> None:
    for refused in ("<script", "<link", "<img", "src=", "url(", "@import", "style=", " on"):
        assert refused not in re.sub(r">[^<]*<", "><", page.partition("</style>")[2]), refused
    assert "url(" not in page
    assert "@import" not in page
