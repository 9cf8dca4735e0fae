"""Pages that anybody may see, in a real browser: wide and on a phone, in light and dark."""

from typing import Any

import pytest

from tests.browser.conftest import Visit

PAGES = ("/", "/api3-docs#routes", "/invitation/none")


@pytest.mark.parametrize("width", [360, 1280])
async def test_they_are_sound(visit: Visit, shared_servers: Any, width: int) -> None:
    await visit.page.set_viewport_size({"width": width, "height": 740})
    for path in PAGES:
        await visit.page.goto(shared_servers("sqlite").url + path)
        visit.complaints = [each for each in visit.complaints if "404" not in each]  # Chromium's word on a missing page
        await visit.assert_sound()
