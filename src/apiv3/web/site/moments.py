"""Times on pages, for people and for programs."""

from __future__ import annotations

from datetime import UTC, datetime

from markupsafe import Markup

from apiv3.model.timestamps import iso


def time_element(ms: int | None) -> Markup:
    """Return a time in ms as an element of HTML, a dash if there is none."""
    if ms is None:
        return Markup("–")
    text = f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}">{}</time>').format(iso(ms), text)
