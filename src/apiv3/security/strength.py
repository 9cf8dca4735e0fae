"""Judge whether a secret that a person chose could be guessed."""

from __future__ import annotations

from itertools import pairwise

SHORT = 16
"""Characters below which a chosen secret counts as short."""
_FEW_CHARACTERS = 5
_UNGUESSED = 8
"""Least characters that must remain when common words and sequences are taken out."""
_WORDS = (
    *("password", "passwort", "passphrase", "passcode", "secret", "administrator", "admin", "root", "letmein", "welcome"),
    *("changeme", "changeit", "change", "default", "example", "testing", "test", "login", "master", "access", "please"),
    *("nightscout", "apisecret", "api", "diabetes", "diabetic", "glucose", "insulin", "sugar", "dexcom", "libre", "freestyle"),
    *("medtronic", "omnipod", "openaps", "androidaps", "aaps", "loop", "xdrip", "cgm", "sgv", "heroku", "mongo", "azure"),
    *("iloveyou", "sunshine", "princess", "football", "baseball", "superman", "batman", "dragon", "monkey", "shadow"),
    *("qwertyuiop", "qwerty", "qwertz", "azerty", "asdfghjkl", "asdf", "zxcvbnm", "1qaz", "2wsx", "trustno1"),
    *("correct", "horse", "battery", "staple", "hello", "world", "mypassword", "server", "token", "your", "this", "that"),
)
_LETTERS = str.maketrans("013457@$!", "oieastasi")


def weakness(secret: str) -> str | None:
    """Return why a secret is weak, as the end of a sentence that begins with its name; None if no weakness was found."""
    if len(set(secret)) <= _FEW_CHARACTERS:
        return "consists of a few different characters only"
    if len(secret.strip()) < SHORT:
        return f"has less than {SHORT} characters"
    lowered = secret.lower()
    if min(len(_rest(text)) for text in (lowered, lowered.translate(_LETTERS))) < _UNGUESSED:
        return "is made of common words and sequences"
    return None


def _rest(text: str) -> str:
    """Return a text without common words, sequences such as `12345` and `cba`, and anything but letters and digits."""
    for word in _WORDS:
        text = text.replace(word, " ")
    steps = [ord(other) - ord(one) for one, other in pairwise(text)]
    goes_on = [abs(step) <= 1 and step == before for before, step in pairwise(steps)]
    expected = {place + offset for place, yes in enumerate(goes_on) if yes for offset in (0, 1, 2)}
    return "".join(mark for place, mark in enumerate(text) if mark.isalnum() and place not in expected)
