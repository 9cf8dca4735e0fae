"""Sessions: people who are signed in on a browser."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

LONGEST_BROWSER = 40
"""Most characters that are kept of what a browser says about itself."""
CONFIRMED = 10 * 60_000
"""Milliseconds for which it counts that a person has given the password or a passkey."""
_BROWSERS = (
    ("Edge", r"\bEdg(?:e|A|iOS)?/"),
    ("Opera", r"\bOPR/"),
    ("Samsung Internet", r"\bSamsungBrowser/"),
    ("Firefox", r"\b(?:Firefox|FxiOS)/"),
    ("Chrome", r"(?:Chrome|CriOS)/"),
    ("Safari", r"\bSafari/"),
)
_SYSTEMS = (
    ("iPhone", r"\biPhone\b"),
    ("iPad", r"\biPad\b"),
    ("Android", r"\bAndroid\b"),
    ("ChromeOS", r"\bCrOS\b"),
    ("Windows", r"\bWindows\b"),
    ("macOS", r"\bMac OS X\b"),
    ("Linux", r"\bLinux\b"),
)


class Visitor(NamedTuple):
    """Where a person signs in from. `browser`: as `browser_name` returns it."""

    address: str
    browser: str


@dataclass(frozen=True, slots=True)
class Session:
    """One browser on which a person is signed in.

    `digest`: of the value in the cookie. `subject`, `nonce`: the person, and the person's nonce at the sign-in; a new nonce
    ends the session. `way`: how the person signed in. `roles`: those of the person when the value was made. `begun`,
    `authenticated`, `seen`: when the person signed in, last proved who they are, and last did something; ms since 1970.
    """

    id: str
    digest: str = field(repr=False)
    subject: str
    nonce: str = field(repr=False)
    way: str
    visitor: Visitor
    roles: tuple[str, ...]
    begun: int
    authenticated: int
    seen: int


class Started(NamedTuple):
    """A session with the value for its cookie, which nobody can read back later. `lifetime`: the seconds that it can last."""

    value: str
    session: Session
    lifetime: int


class Limits(NamedTuple):
    """How long sessions last, in ms: `idle` after the person last did something, and `longest` after the sign-in."""

    idle: int
    longest: int

    def end(self, session: Session) -> int:
        """When the session ends by itself, in ms since 1970."""
        return min(session.seen + self.idle, session.begun + self.longest)

    def lifetime(self, session: Session, now: int) -> int:
        """Return how many seconds the session can last at most. `now`: ms since 1970."""
        return max(0, -((now - session.begun - self.longest) // 1000))


def browser_name(user_agent: str) -> str:
    """Return a short name, such as `Firefox on Linux`, for what a browser sends as User-Agent."""
    browser, system = _first(_BROWSERS, user_agent), _first(_SYSTEMS, user_agent)
    if browser and system:
        return f"{browser} on {system}"
    product = re.split(r"[\s/(]", user_agent.strip(), maxsplit=1)[0]
    return "".join(filter(str.isprintable, browser or product))[:LONGEST_BROWSER] or "unknown"


def _first(table: tuple[tuple[str, str], ...], text: str) -> str:
    return next((name for name, pattern in table if re.search(pattern, text)), "")
