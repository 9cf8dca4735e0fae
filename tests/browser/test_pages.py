"""The page `/` in a real browser."""

from typing import Any

from tests.browser.conftest import Visit
from tests.support.server import LiveServer


async def test_it_fits_a_phone_and_its_policy(visit: Visit, shared_servers: Any) -> None:
    server: LiveServer = shared_servers("sqlite")
    await visit.page.set_viewport_size({"width": 360, "height": 740})
    for scheme in ("dark", "light"):
        await visit.page.emulate_media(color_scheme=scheme)
        await visit.page.goto(server.url)
        assert await visit.page.evaluate("document.documentElement.scrollWidth") == 360
    refused = [each for each in visit.complaints if "policy" in each.lower()]
    assert [each for each in refused if "favicon" not in each] == []  # which browsers look for by themselves
