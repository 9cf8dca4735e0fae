"""This server as a relying party of WebAuthn (Level 2): what it asks of authenticators, and how it verifies their answers.

Both its id and its origin come from PUBLIC_URL, and never from a header of a request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import webauthn
from webauthn.helpers import (
    base64url_to_bytes,
    bytes_to_base64url,
    parse_authentication_credential_json,
    parse_client_data_json,
    parse_registration_credential_json,
)
from webauthn.helpers.options_to_json_dict import options_to_json_dict
from webauthn.helpers.structs import (
    AuthenticationCredential,
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    RegistrationCredential,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from apiv3.model.accounts import Person
from apiv3.model.passkeys import CHALLENGE_LIFETIME, Passkey

Credential = TypeVar("Credential", RegistrationCredential, AuthenticationCredential)

NAME = "apiv3"
"""The name of the relying party, which browsers may show."""
NO_NAME = "Passkeys need a host name, and the server is reached by a bare IP address. Set PUBLIC_URL to a URL with a name."
NO_TLS = "Passkeys need HTTPS. Set PUBLIC_URL to a URL that begins with https://."
Options = dict[str, Any]
"""Options for `navigator.credentials`, as JSON."""
_URL = re.compile(r"(https?)://(\[[^\]]*\]|[^:/]*)(?::(\d+))?")
_ADDRESS = re.compile(r"\[.*|(.*\.)?(\d+|0x[0-9a-f]*)\.?")
"""A host that browsers take for an IP address: its last label is a number (WHATWG URL, "ends in a number")."""
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Registration(NamedTuple):
    """A new passkey as an authenticator made it. `id`: the credential id in base64url."""

    id: str
    public_key: bytes
    counter: int


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

    def creation_options(self, person: Person, passkeys: Sequence[Passkey], challenge: bytes) -> Options:
        """Ask for a new passkey of a person, on an authenticator that has none of theirs yet."""
        options = webauthn.generate_registration_options(
            rp_id=self.id,
            rp_name=NAME,
            user_id=person.subject.id.encode(),
            user_name=person.account.email.address,
            user_display_name=person.subject.name,
            challenge=challenge,
            timeout=CHALLENGE_LIFETIME,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
            ),
            exclude_credentials=[PublicKeyCredentialDescriptor(base64url_to_bytes(each.id)) for each in passkeys],
        )
        return options_to_json_dict(options)

    def request_options(self, challenge: bytes) -> Options:
        """Ask for a signature by any passkey of this relying party; apart from the challenge the same for everybody."""
        options = webauthn.generate_authentication_options(
            rp_id=self.id,
            challenge=challenge,
            timeout=CHALLENGE_LIFETIME,
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return options_to_json_dict(options)

    def verify_registration(self, credential: RegistrationCredential, challenge: bytes) -> Registration:
        """Return the new passkey (section 7.1). Raises ValueError if the answer does not fit."""
        try:
            verified = webauthn.verify_registration_response(
                credential=credential,
                expected_challenge=challenge,
                expected_rp_id=self.id,
                expected_origin=self.origin,
                require_user_verification=True,
            )
        except Exception as error:  # the library also lets through what its own libraries raise
            raise ValueError(str(error)) from error
        if verified.credential_id != credential.raw_id:
            raise ValueError("the credential id is not the one of the attested data")
        return Registration(credential.id, verified.credential_public_key, verified.sign_count)

    def verify_assertion(self, credential: AuthenticationCredential, challenge: bytes, passkey: Passkey) -> int:
        """Return the counter of a signature by a passkey (section 7.2), which is not compared with the last one here.

        Raises ValueError if the answer does not fit.
        """
        if credential.response.user_handle != passkey.person.encode():
            raise ValueError("the passkey belongs to somebody else")
        try:
            verified = webauthn.verify_authentication_response(
                credential=credential,
                expected_challenge=challenge,
                expected_rp_id=self.id,
                expected_origin=self.origin,
                credential_public_key=passkey.public_key,
                credential_current_sign_count=0,  # compared in the transaction that stores it, after the signature
                require_user_verification=True,
            )
        except Exception as error:  # the library also lets through what its own libraries raise
            raise ValueError(str(error)) from error
        return verified.new_sign_count


def parse_registration(answer: object) -> tuple[RegistrationCredential, bytes]:
    """Return the answer to `creation_options`, and the challenge that it answers. Raises ValueError."""
    return _parsed(parse_registration_credential_json, answer)


def parse_assertion(answer: object) -> tuple[AuthenticationCredential, bytes]:
    """Return the answer to `request_options`, and the challenge that it answers. Raises ValueError."""
    return _parsed(parse_authentication_credential_json, answer)


def _parsed(parse: Callable[[Any], Credential], answer: object) -> tuple[Credential, bytes]:
    try:
        credential = parse(answer)
        data = parse_client_data_json(credential.response.client_data_json)
        if bytes_to_base64url(credential.raw_id) != credential.id:
            raise ValueError("the credential id is not in base64url")
    except Exception as error:  # the library also lets through what its own libraries raise
        raise ValueError(str(error)) from error
    if data.cross_origin:
        raise ValueError("it was made inside a page of somebody else")
    return credential, data.challenge


def _obstacle(scheme: str, host: str) -> str | None:
    """Return why browsers do not offer passkeys on such a page (WebAuthn, section 5.1.3; Secure Contexts, section 3.1)."""
    if _ADDRESS.fullmatch(host):
        return NO_NAME
    if scheme == "http" and host != "localhost" and not host.endswith(".localhost"):
        return NO_TLS
    return None
