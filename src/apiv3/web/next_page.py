"""Where a browser goes after the sign-in: only to pages of this server, whatever a link says (against open redirection)."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from apiv3.web.headers import NO_STORE
from apiv3.web.responses import Answer

LOGIN = "/login"
INVITATION = "/invitation/"
"""Where invitations are used; the code follows."""
FIRST_INVITATION = f"{INVITATION}first/"
"""Where the invitation of the first administrator is used; the code follows."""
LONGEST = 6000
"""Most characters of a path to go to."""
_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")
"""A path: printable ASCII without a backslash, which browsers read as a slash; two slashes would begin another host's URL."""


def checked_next(text: str | None) -> str:
    """Return a path to go to after the sign-in: the one that was asked for, if it is one of this server, else `/`."""
    if text is None or len(text) > LONGEST or not _PATH.fullmatch(text):
        return "/"
    path = unquote(re.split("[?#]", text, maxsplit=1)[0])
    return text if path.isprintable() and "\\" not in path and not path.startswith("//") else "/"


def way_in(page: str, *, lost: bool) -> Answer:
    """Send a browser to the form for signing in, and then back to `page`. `lost`: it has sent a form, which was not used."""
    return see_other(f"{LOGIN}?next={quote(page, safe='/')}{'&lost=1' if lost else ''}")


def see_other(path: str) -> Answer:
    """Send a browser to another page of this server (RFC 9110, section 15.4.4)."""
    return Answer(303, headers=((b"location", path.encode()), NO_STORE))
