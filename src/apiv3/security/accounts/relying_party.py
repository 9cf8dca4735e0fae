"""This server as a relying party of WebAuthn (Level 2).

Both its id and its origin come from PUBLIC_URL, and never from a header of a request.
"""

from __future__ import annotations

import re
from typing import Any

NO_NAME = "Passkeys need a host name, and the server is reached by a bare IP address. Set PUBLIC_URL to a URL with a name."
NO_TLS = "Passkeys need HTTPS. Set PUBLIC_URL to a URL that begins with https://."
Options = dict[str, Any]
"""Options for `navigator.credentials`, as JSON."""
_URL = re.compile(r"(https?)://(\[[^\]]*\]|[^:/]*)(?::(\d+))?")
_ADDRESS = re.compile(r"\[.*|(.*\.)?(\d+|0x[0-9a-f]*)\.?")
"""A host that browsers take for an IP address: its last label is a number (WHATWG URL, "ends in a number")."""
_DEFAULT_PORTS = {"http": 80, "https": 443}


class RelyingParty:
    """`id`: the host of the URL; `origin`: its scheme, host and port; `obstacle`: why passkeys cannot work, if they cannot."""

    def __init__(self, url: str) -> None:
        found = _URL.match(url.lower())
        if found is None:
            raise ValueError(f"no URL: {url}")
        scheme, self.id, port = found.groups()
        shown = "" if port is None or int(port) == _DEFAULT_PORTS[scheme] else f":{int(port)}"
        self.origin = f"{scheme}://{self.id}{shown}"
        self.obstacle = _obstacle(scheme, self.id)


def _obstacle(scheme: str, host: str) -> str | None:
    """Return why browsers do not offer passkeys on such a page (WebAuthn, section 5.1.3; Secure Contexts, section 3.1)."""
    if _ADDRESS.fullmatch(host):
        return NO_NAME
    if scheme == "http" and host != "localhost" and not host.endswith(".localhost"):
        return NO_TLS
    return None
