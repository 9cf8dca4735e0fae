"""Make pages out of templates. docs/how-to/develop.md tells how to add one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from apiv3 import __version__
from apiv3.security.principal import STRANGER
from apiv3.web.calls import Call
from apiv3.web.headers import NO_STORE
from apiv3.web.responses import Answer, Headers
from apiv3.web.site.moments import time_element
from apiv3.web.site.sections import SECTIONS
from apiv3.web.site.static import static

HTML = b"text/html; charset=utf-8"


class Viewer(NamedTuple):
    """Who looks at a page, for its navigation. `name`: None for a stranger. `admin`: whether any section of administration is
    for the viewer.
    """

    name: str | None
    admin: bool

    @classmethod
    def of(cls, call: Call) -> Viewer:
        """Return the viewer whom the gate knows as the caller."""
        return cls(call.principal.name, any(call.principal.allows(section.demand) for section in SECTIONS))


def page(call: Call, template: str, status: int = 200, *, headers: Headers = (NO_STORE,), **context: Any) -> Answer:
    """Return a page made of a template, for whoever calls. No cache keeps it, unless `headers` says otherwise.

    The context of every template besides `context`: `viewer`, the path `here`, and `notice` and `complaint`, which stand above
    the content: what was done, and what is wrong. Everything is escaped. The security headers are those of every answer
    outside the API (`web/headers.py`). Raises jinja2.UndefinedError when the template needs more than that.
    """
    given = {"viewer": Viewer.of(call), "here": call.path.decode("ascii", "replace"), "notice": "", "complaint": ""} | context
    text = _environment.get_template(template).render(given)
    return Answer(status, text.encode("utf-8", "replace"), HTML, headers)


class PublicPage:
    """A page on which nothing depends on the call but its viewer.

    It is rendered once for all strangers, since they may ask for it without end.
    """

    def __init__(self, template: str) -> None:
        self._template = template
        self._for_strangers: Answer | None = None

    def show(self, call: Call, **context: Any) -> Answer:
        """Return the page. `context`: as of `page`, the same each time."""
        if call.principal is not STRANGER:
            return page(call, self._template, **context)
        if self._for_strangers is None:
            self._for_strangers = page(call, self._template, **context)
        return self._for_strangers


_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parents[1] / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_environment.globals |= {"static": static, "version": __version__}
_environment.filters["time"] = time_element
