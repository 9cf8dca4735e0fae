"""The two ceremonies of WebAuthn (Level 2): adding a passkey, and a signature by one.

Loading the library takes a tenth of a second and 6 MB of memory, so only a process in which somebody uses passkeys imports
this module.
"""

from __future__ import annotations

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
from apiv3.security.accounts.relying_party import Options, RelyingParty

Credential = TypeVar("Credential", RegistrationCredential, AuthenticationCredential)

NAME = "apiv3"
"""The name of the relying party, which browsers may show."""


class Registration(NamedTuple):
    """A new passkey as an authenticator made it. `id`: the credential id in base64url."""

    id: str
    public_key: bytes
    counter: int


class Ceremonies:
    """What a relying party asks of authenticators, and how it verifies their answers."""

    def __init__(self, party: RelyingParty) -> None:
        self._party = party

    def creation_options(self, person: Person, passkeys: Sequence[Passkey], challenge: bytes) -> Options:
        """Ask for a new passkey of a person, on an authenticator that has none of theirs yet."""
        options = webauthn.generate_registration_options(
            rp_id=self._party.id,
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
            rp_id=self._party.id,
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
                expected_rp_id=self._party.id,
                expected_origin=self._party.origin,
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
                expected_rp_id=self._party.id,
                expected_origin=self._party.origin,
                credential_public_key=passkey.public_key,
                credential_current_sign_count=0,  # compared in the transaction that stores it, after the signature
                require_user_verification=True,
            )
        except Exception as error:  # the library also lets through what its own libraries raise
            raise ValueError(str(error)) from error
        return verified.new_sign_count

    @staticmethod
    def parse_registration(answer: object) -> tuple[RegistrationCredential, bytes]:
        """Return the answer to `creation_options`, and the challenge that it answers. Raises ValueError."""
        return _parsed(parse_registration_credential_json, answer)

    @staticmethod
    def parse_assertion(answer: object) -> tuple[AuthenticationCredential, bytes]:
        """Return the answer to `request_options`, and the challenge that it answers. Raises ValueError."""
        return _parsed(parse_authentication_credential_json, answer)


def _parsed(parse: Callable[[Any], Credential], answer: object) -> tuple[Credential, bytes]:
    try:
        credential = parse(answer)
        data = parse_client_data_json(credential.response.client_data_json)
        if bytes_to_base64url(credential.raw_id) != credential.id:  # PostgreSQL takes no U+0000 as a text to look up
            raise ValueError("the credential id is not in base64url")
    except Exception as error:  # the library also lets through what its own libraries raise
        raise ValueError(str(error)) from error
    if data.cross_origin:
        raise ValueError("it was made inside a page of somebody else")
    return credential, data.challenge
