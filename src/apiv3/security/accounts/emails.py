"""Check and normalise e-mail addresses, without ever looking up a domain."""

from __future__ import annotations

from apiv3.model.accounts import Email
from apiv3.model.errors import BadRequest

LONGEST = 320
"""Most characters of an address: 64 before the @ and 255 after it (RFC 5321, section 4.5.3.1)."""


def email(text: str) -> Email:
    """Parse an address. Addresses that differ only in case have the same key. Raises BadRequest."""
    from email_validator import EmailNotValidError, validate_email  # takes time to import, and few commands need it

    if len(text) > LONGEST:
        raise BadRequest("Bad email: it is too long")
    try:
        found = validate_email(text.strip(), check_deliverability=False)
    except (EmailNotValidError, UnicodeError) as error:
        raise BadRequest(f"Bad email: {error}") from error
    return Email(found.normalized, f"{found.local_part.lower()}@{found.ascii_domain}")


def key(text: str) -> str | None:
    """Return the key of an address, or None if the text is no address."""
    try:
        return email(text).key
    except BadRequest:
        return None
