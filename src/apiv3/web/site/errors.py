"""Errors as pages with a way out, for people who navigate. Programs get JSON, and so does everybody under `/api/`."""

from __future__ import annotations

from urllib.parse import quote

from apiv3.model.errors import ApiError, BadNonce, ForeignPage
from apiv3.web.calls import Call
from apiv3.web.headers import NO_STORE, is_page
from apiv3.web.negotiation import prefers_html
from apiv3.web.responses import Answer, error_headers
from apiv3.web.site.pages import page

_TITLES = {
    400: "This request makes no sense",
    401: "Please sign in",
    403: "This is not for you",
    404: "There is no such page",
    405: "This cannot be done here",
    408: "That took too long",
    413: "That is too much",
    429: "Too many requests",
    500: "Something went wrong here",
    503: "Not at the moment",
}
_ADVICE = {
    401: "This page is for people who have signed in.",
    403: "You may not see this page, or not do what you have asked for.",
    404: "The address may be mistyped, or what was here is gone.",
    408: "Go back, and send it once more.",
    429: "Wait a moment, then try again.",
    500: "Nothing is wrong with what you did. Whoever runs this server finds the reason in its log.",
    503: "Nothing was changed. Wait a moment, then try again.",
}
_UNSENT = "Nothing was changed, since this form was not accepted"
"""The title when a form, rather than the person, is refused."""


def wants_page(call: Call) -> bool:
    """Whether somebody looks at the answer in a browser: a page's path, asked for by what prefers HTML to JSON."""
    return is_page(call.path) and prefers_html(call.header(b"accept"))


def error_page(call: Call, error: ApiError) -> Answer:
    """Return the page for an error: what it means, what the server says about it, and the ways on."""
    is_unsent = isinstance(error, (BadNonce, ForeignPage))
    status, ways = error.status, [("/", "To the front page")]
    if status == 401:
        ways.insert(0, (f"/login?next={quote(_target(call), safe='/')}", "Sign in"))
    elif call.method in ("GET", "HEAD") and status in (408, 429, 500, 503):
        ways.insert(0, ("", "Try again"))
    return page(
        call,
        "error.html",
        status,
        headers=(NO_STORE, *error_headers(error)),
        title=_UNSENT if is_unsent else _TITLES.get(status, "This does not work"),
        advice="" if is_unsent else _ADVICE.get(status, ""),
        said="" if status == 404 and not call.params else error.message or "",
        request=call.id,
        ways=ways,
    )


def _target(call: Call) -> str:
    """Return the path and query of a call, as they were sent."""
    query = call.scope["query_string"]
    return (call.path + (b"?" + query if query else b"")).decode("latin-1")
