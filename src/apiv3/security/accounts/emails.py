"""E-mail addresses: checked, and brought to one form, without ever looking a domain up."""

from __future__ import annotations

from email_validator import EmailNotValidError, validate_email

from apiv3.model.accounts import Email
from apiv3.model.errors import BadRequest

LONGEST = 320
"""Characters of a text that may be an address at all: 64 before the @, 255 after it (RFC 5321, section 4.5.3.1)."""


def email(text: str) -> Email:
    """The address in a text. Addresses that differ in case alone have the same key. Raises BadRequest."""
    if len(text) > LONGEST:
        raise BadRequest("Bad email: it is too long")
    try:
        found = validate_email(text.strip(), check_deliverability=False)
    except (EmailNotValidError, UnicodeError) as error:
        raise BadRequest(f"Bad email: {error}") from error
    return Email(found.normalized, f"{found.local_part.lower()}@{found.ascii_domain}")


def key(text: str) -> str | None:
    """The key of the address in a text; None where it is no address."""
    try:
        return email(text).key
    except BadRequest:
        return None
