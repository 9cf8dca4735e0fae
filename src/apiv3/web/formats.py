"""The three spellings of an answer: JSON, CSV and XML, and the choice between them.

Pure functions over documents as `orjson.loads` makes them. JSON itself is joined from stored text elsewhere.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from itertools import repeat
from typing import Any, Final

import orjson

_ESSENCES: Final = {"json": "application/json", "csv": "text/csv", "xml": "application/xml"}


class Format(Enum):
    """An output format, in order of preference; `Format("csv")` finds one by its extension, else raises ValueError."""

    JSON = "json"
    CSV = "csv"
    XML = "xml"

    @property
    def extension(self) -> str:
        """What stands after the dot in a path."""
        return self.value

    @property
    def essence(self) -> str:
        """The bare type and subtype, as an Accept header names them."""
        return _ESSENCES[self.value]

    @property
    def media_type(self) -> str:
        """The Content-Type of an answer; the charset is said even where it is the default (RFC 7111 section 5.1)."""
        return f"{self.essence}; charset=utf-8"


# --- the choice: RFC 9110 section 12.5.1 -------------------------------------------------------------------------

_JSON_WILL_DO: Final = frozenset({None, "", "*/*", "application/json"})
_ALIASES: Final = {"*": "*/*", "text/xml": Format.XML.essence}  # Java's URLConnection says `*; q=.2`
_LONGEST_ACCEPT: Final = 4096

# Grammar of RFC 9110 sections 5.6.2 to 5.6.6. Alternatives differ in their first character, so that time is linear.
_TCHARS: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
_OPEN_QUOTED: Final = r'"(?:[^"\\]|\\.?)*"?'  # a quote left open swallows the rest
_MEMBERS: Final = re.compile(rf'(?:[^,"]|{_OPEN_QUOTED})+', re.DOTALL)
_PIECES: Final = re.compile(rf'(?:[^;"]|{_OPEN_QUOTED})+', re.DOTALL)
_RANGE: Final = re.compile(rf"{_TCHARS}/{_TCHARS}|\*")
_PARAMETER: Final = re.compile(rf"({_TCHARS})[ \t]*(?:=[ \t]*({_TCHARS}|{_QUOTED}))?", re.DOTALL)
_QVALUE: Final = re.compile(r"0(?:\.[0-9]*)?|\.[0-9]+|1(?:\.0*)?")  # section 12.4.2, and `.5`, which some clients send


def negotiate(accept: str | None) -> Format | None:
    """Choose the format that an Accept header likes best; None: it likes none of them, which is a 406.

    Equal quality goes to JSON, then CSV, then XML. A header that is absent, or in which nothing can be read, is no
    preference at all: JSON. Parameters other than `q` are not compared: `application/json;version=1` is JSON.
    """
    if accept in _JSON_WILL_DO or not (ranges := _ranges(accept or "")):
        return Format.JSON
    best = max(Format, key=lambda each: _quality(each, ranges))
    return best if _quality(best, ranges) > 0 else None


def _quality(wanted: Format, ranges: Mapping[str, float]) -> float:
    """Weigh a format: "the most specific reference has precedence" (RFC 9110 section 12.5.1)."""
    family = wanted.essence.partition("/")[0] + "/*"
    return next((ranges[name] for name in (wanted.essence, family, "*/*") if name in ranges), 0.0)


def _ranges(accept: str) -> dict[str, float]:
    """Read a header's media ranges with their weights; of a repeated one the greatest weight."""
    ranges: dict[str, float] = {}
    for name, weight in filter(None, map(_member, _members(accept))):
        ranges[name] = max(weight, ranges.get(name, 0.0))
    return ranges


def _members(accept: str) -> list[str]:
    """Split a header at the commas outside quotes; of an overlong one only what stands whole in its beginning."""
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


# --- CSV: RFC 4180 -----------------------------------------------------------------------------------------------


def csv_documents(documents: Sequence[Mapping[str, Any]]) -> bytes:
    r"""Render documents as CSV: a header line with every field in order of first appearance, then a line for each.

    Lines end with \r\n and text stands exactly as stored. No documents, or none with a field, is an empty body.
    """
    fields = list(dict.fromkeys(field for document in documents for field in document))
    if not fields:
        return b""
    page = io.StringIO(newline="")
    writer = csv.writer(page)
    writer.writerow(fields)
    writer.writerows([csv_cell(document.get(field)) for field in fields] for document in documents)
    return page.getvalue().encode()


def csv_cell(value: Any) -> str:
    """Spell a value as plain text: strings as they are, null as nothing, the rest as compact JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else orjson.dumps(value).decode()


# --- XML 1.0 -----------------------------------------------------------------------------------------------------

_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>'
_LONGEST_ITEM_NAME: Final = 64

# Anything outside the production Char (https://www.w3.org/TR/xml/#charsets), and markup. A bare \r would be read
# as \n (section 2.11); `>` is escaped because of `]]>` (section 2.4).
_SPECIAL: Final = re.compile("[^\t\n\x20-%'-;=?-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}

# Letters that start a name in every edition of XML 1.0: expat, the parser of Python and many more, still
# follows the fourth (https://www.w3.org/TR/2006/REC-xml-20060816/#CharClasses). Latin, Greek, Cyrillic, Hebrew, Arabic,
# kana, Han, Hangul. No colon, which is for namespaces.
_LETTERS: Final = (
    "A-Z_a-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u0131\u0134-\u013e\u0141-\u0148\u014a-\u017e"
    "\u0388-\u038a\u038e-\u03a1\u03a3-\u03ce\u0401-\u040c\u040e-\u044f\u0451-\u045c\u05d0-\u05ea"
    "\u0621-\u063a\u0641-\u064a\u3041-\u3094\u30a1-\u30fa\u4e00-\u9fa5\uac00-\ud7a3"
)
_UNNAMEABLE: Final = re.compile(
    rf"[^{_LETTERS}0-9.-]"  # never part of a name
    r"|\A[0-9.-]"  # never its beginning
    r"|\A[xX](?=[mM][lL])"  # reserved, section 2.3
    r"|_(?=x[0-9A-F]{4})|\A_(?=x_\Z)"  # what would read as an escape
)


def xml_documents(documents: Sequence[Mapping[str, Any]]) -> bytes:
    """Render documents as `<items><item>...</item>...</items>`; none is `<items />`."""
    parts = [_DECLARATION, "<items>" if documents else "<items />"]
    for document in documents:
        _write(parts, "item", dict(document))
    if documents:
        parts.append("</items>")
    return "".join(parts).encode()


def xml_document(document: Mapping[str, Any]) -> bytes:
    """Render one document as `<item>...</item>`."""
    parts = [_DECLARATION]
    _write(parts, "item", dict(document))
    return "".join(parts).encode()


def _write(parts: list[str], name: str, value: Any) -> None:
    """Append the element of a value: objects and arrays hold elements, null and empty ones nothing."""
    tag = xml_name(name)
    if not isinstance(value, dict | list):
        parts.append(f"<{tag}>{_xml_text(csv_cell(value))}</{tag}>")
        return
    parts.append(f"<{tag}>")
    for inner_name, inner in _children(name, value):
        _write(parts, inner_name, inner)
    parts.append(f"</{tag}>")


def _children(name: str, value: dict[str, Any] | list[Any]) -> Iterable[tuple[str, Any]]:
    """Name what an object or an array holds."""
    return value.items() if isinstance(value, dict) else zip(repeat(_item_name(name)), value, strict=False)


def xml_name(name: str) -> str:
    r"""Make a field's name an XML name: each character that may not stand there becomes `_xHHHH_`, its code in hex.

    The scheme is that of SQL/XML (ISO/IEC 9075-14) and of .NET's XmlConvert: `2nd try` is `_x0032_nd_x0020_try`, and a
    name that begins with `xml` begins with `_x0078_ml`. The empty name is `_x_`. To reverse: `_x_` alone is the empty
    name, else replace each `_x([0-9A-F]{4,6})_` by its character; an underscore that would mislead is `_x005F_`.
    """
    return _UNNAMEABLE.sub(lambda found: f"_x{ord(found[0]):04X}_", name) or "_x_"


def _xml_text(text: str) -> str:
    """Escape text for an element; U+FFFD stands for what XML 1.0 cannot hold, even escaped."""
    return _SPECIAL.sub(lambda found: _ENTITIES.get(found[0], "\ufffd"), text)


def _item_name(name: str) -> str:
    """Name the elements of an array after it, in the singular.

    A name of unusual length would be repeated by each element, so that one document of a megabyte could become an
    answer of many gigabytes: its elements are just `item`.
    """
    singular = _singular(name)
    return singular if len(xml_name(singular)) <= _LONGEST_ITEM_NAME else "item"


def _singular(name: str) -> str:
    """Guess the singular of a plural: `entries` -> `entry`, `tags` -> `tag`; anything else (`list`) as it is."""
    if name.endswith("ies"):
        return name[:-3] + "y"
    return name[:-1] if name.endswith("s") and not name.endswith("ss") and name != "s" else name
