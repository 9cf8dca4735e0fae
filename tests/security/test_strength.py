"""What a chosen secret is worth."""

import pytest

from apiv3.security.secrets import mint
from apiv3.security.strength import weakness

FEW, SHORT, COMMON = "few different characters", "less than 16", "common words"


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        (" " * 12, FEW),
        (" \t" * 20, FEW),
        ("a" * 40, FEW),
        ("1212121212121212", FEW),
        ("t7Kq9vXw2Lm4", SHORT),
        ("  t7Kq9vXw2Lm4     ", SHORT),
        ("passwordpassword", COMMON),
        ("Password12345678", COMMON),
        ("P@ssw0rd-P@ssw0rd!", COMMON),
        ("mynightscoutsecret", COMMON),
        ("nightscout-api-secret-2024", COMMON),
        ("12345678901234567890", COMMON),
        ("abcdefghijklmnopqrst", COMMON),
        ("zyxwvutsrqponmlkjihg", COMMON),
        ("qwertyuiopasdfghjkl", COMMON),
        ("correct horse battery staple", COMMON),
        ("change-me-change-me", COMMON),
    ],
)
def test_what_can_be_guessed(secret: str, reason: str) -> None:
    found = weakness(secret)
    assert found is not None
    assert reason in found
    assert secret not in found


@pytest.mark.parametrize("secret", ["t7Kq9vXw2Lm4Zp8R", "violin-gravel-mosaic-thimble", "9f86d081884c7d659a2feaa0c55ad015"])
def test_what_cannot(secret: str) -> None:
    assert weakness(secret) is None


def test_what_is_minted_is_never_weak() -> None:
    assert {weakness(mint()) for _ in range(1000)} == {None}
