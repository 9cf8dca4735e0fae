"""The page `/`: what this server is, and a way in."""

from __future__ import annotations

from apiv3.web.calls import Call
from apiv3.web.responses import Answer
from apiv3.web.site.pages import page


class Front:
    """The endpoint."""

    async def show(self, call: Call) -> Answer:
        """Show what this server is, and a way in."""
        return page(call, "welcome.html")
