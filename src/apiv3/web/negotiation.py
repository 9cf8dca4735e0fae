"""The formats of an answer, JSON, CSV and XML, and the choice between them: RFC 9110 section 12.5.1."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

_ESSENCES: Final = {"json": "application/json", "csv": "text/csv", "xml": "application/xml"}


class Format(StrEnum):
    """An output format, in order of preference; `Format("csv")` finds one by its extension, else raises ValueError."""

    JSON = "json"
    CSV = "csv"
    XML = "xml"

    @property
    def extension(self) -> str:
        """The extension that selects the format in a path, without the dot."""
        return self.value

    @property
    def essence(self) -> str:
        """The bare type and subtype, as an Accept header names them."""
        return _ESSENCES[self.value]

    @property
    def media_type(self) -> str:
        """The Content-Type of an answer. It names the charset even if that is the default (RFC 7111 section 5.1)."""
        return f"{self.essence}; charset=utf-8"


_JSON_WILL_DO: Final = frozenset({None, "", "*/*", "application/json"})
_ALIASES: Final = {"*": "*/*", "text/xml": Format.XML.essence}  # Java's URLConnection says `*; q=.2`
_LONGEST_ACCEPT: Final = 4096

# Grammar of RFC 9110 sections 5.6.2 to 5.6.6. Alternatives differ in their first character, so that time is linear.
_TCHARS: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
_OPEN_QUOTED: Final = r'"(?:[^"\\]|\\.?)*"?'  # a quote that is not closed takes in the rest of the header
_MEMBERS: Final = re.compile(rf'(?:[^,"]|{_OPEN_QUOTED})+', re.DOTALL)
_PIECES: Final = re.compile(rf'(?:[^;"]|{_OPEN_QUOTED})+', re.DOTALL)
_RANGE: Final = re.compile(rf"{_TCHARS}/{_TCHARS}|\*")
_PARAMETER: Final = re.compile(rf"({_TCHARS})[ \t]*(?:=[ \t]*({_TCHARS}|{_QUOTED}))?", re.DOTALL)
_QVALUE: Final = re.compile(r"0(?:\.[0-9]*)?|\.[0-9]+|1(?:\.0*)?")  # section 12.4.2, and `.5`, which some clients send


def negotiate(accept: str | None) -> Format | None:
    """Choose the format that an Accept header prefers; None if it accepts none of them, which is a 406.

    At equal quality the order is JSON, CSV, XML. If the header is absent, or nothing in it can be parsed, the format is JSON.
    Parameters other than `q` are not compared: `application/json;version=1` is JSON.
    """
    if accept in _JSON_WILL_DO or not (ranges := _ranges(accept or "")):
        return Format.JSON
    best = max(Format, key=lambda each: _quality(each, ranges))
    return best if _quality(best, ranges) > 0 else None


def prefers_html(accept: str | None) -> bool:
    """Whether an Accept header names HTML and does not prefer JSON, as that of a browser does when somebody navigates."""
    ranges = _ranges(accept or "")
    return ranges.get("text/html", 0.0) > 0 and ranges["text/html"] >= _quality(Format.JSON, ranges)


def _quality(wanted: Format, ranges: Mapping[str, float]) -> float:
    """Weigh a format: "the most specific reference has precedence" (RFC 9110 section 12.5.1)."""
    family = wanted.essence.partition("/")[0] + "/*"
    return next((ranges[name] for name in (wanted.essence, family, "*/*") if name in ranges), 0.0)


def _ranges(accept: str) -> dict[str, float]:
    """Parse a header's media ranges with their weights. A range that is repeated has its greatest weight."""
    ranges: dict[str, float] = {}
    for name, weight in filter(None, map(_member, _members(accept))):
        ranges[name] = max(weight, ranges.get(name, 0.0))
    return ranges


def _members(accept: str) -> list[str]:
    """Split a header at the commas outside quotes. Of an overlong header, use only the complete members in its beginning."""
    members = _MEMBERS.findall(accept[:_LONGEST_ACCEPT])
    return members if len(accept) <= _LONGEST_ACCEPT else members[:-1]


def _member(text: str) -> tuple[str, float] | None:
    """Read one `type/subtype;q=0.5` as the range and its weight; None when it is malformed."""
    name, *parameters = [piece.strip(" \t") for piece in _PIECES.findall(text)] or [""]
    weight = _weight(filter(None, parameters))
    if weight is None or not _RANGE.fullmatch(name):
        return None
    name = name.lower()
    return _ALIASES.get(name, name), weight


def _weight(parameters: Iterable[str]) -> float | None:
    """Find the weight among the parameters, 1 without `q`; None when any of them is malformed."""
    weight = "1"
    for parameter in map(_PARAMETER.fullmatch, parameters):
        if parameter is None:
            return None
        if parameter[1] in ("q", "Q"):
            weight = parameter[2] or ""
    return float(weight) if _QVALUE.fullmatch(weight) else None
