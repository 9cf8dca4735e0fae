"""A real Chromium, and what it did: requests, messages on the console, violations of the page's policy, accessibility."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright, expect

from tests.support.needs import browser as installed_browser

ARGUMENTS = [
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 60_000.0
"""Ms after which the page will not do what it should any more."""
expect.set_options(timeout=PATIENCE)
CANCELLED = "net::ERR_ABORTED"
"""What Chromium says of a request that it ended itself, of whatever kind, because the page gave way to another or closed it.

The server is not at fault: Chromium has other words for a connection that is refused, broken or closed too early, and for what
a policy forbids.
"""


@dataclass
class Visit:
    """A page, and all that happened on it."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """Errors and warnings on the console, errors of scripts, violations of the policy, requests that came to nothing."""

    def hear(self, said: ConsoleMessage) -> None:
        if said.type in ("error", "warning"):
            self.complaints.append(said.text)

    def miss(self, request: Request) -> None:
        if request.failure != CANCELLED:
            self.complaints.append(f"{request.url}: {request.failure}")

    async def assert_sound(self) -> None:
        """The page fits its window, nobody has complained, and axe-core finds nothing serious in light or dark."""
        for scheme in ("dark", "light"):
            await self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            found = (await Axe().run(self.page)).response["violations"]
            serious = {
                each["id"]: [node["html"] for node in each["nodes"]]
                for each in found
                if each["impact"] in ("serious", "critical")
            }
            assert serious == {}, f"{self.page.url}, {scheme}"
        widths = await self.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert widths[0] <= widths[1], f"{self.page.url} is {widths[0]} wide in a window of {widths[1]}"
        assert self.complaints == [], self.page.url


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of this folder share a browser, and so an event loop."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and item.get_closest_marker("asyncio"):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    path = installed_browser()
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser) -> AsyncIterator[Visit]:
    """A fresh profile: no cookies, no storage."""
    context = await browser.new_context()
    context.set_default_timeout(PATIENCE)
    page = await context.new_page()
    seen = Visit(page)
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("requestfailed", seen.miss)
    page.on("console", seen.hear)
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    await page.add_init_script(
        "document.addEventListener('securitypolicyviolation',"
        " (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`))"
    )
    yield seen
    await context.close()
