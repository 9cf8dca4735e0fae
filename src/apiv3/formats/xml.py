"""Documents as XML 1.0."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, Final

from apiv3.formats.csv import csv_cell

_DECLARATION: Final = "<?xml version='1.0' encoding='utf-8'?>"
_LONGEST_ITEM_NAME: Final = 64
_LONG: Final = 65_536
"""Characters of a text that are escaped at a time. Escaping takes a dozen times the size of a text that consists of `<`."""

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
    """Render documents as `<items><item>...</item>...</items>`, or as `<items />` if there are none."""
    return "".join(xml_parts(documents)).encode()


def xml_parts(documents: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The same, bit by bit."""
    some = False
    for document in documents:
        if not some:
            yield f"{_DECLARATION}<items>"
            some = True
        yield from _element("item", dict(document))
    yield "</items>" if some else f"{_DECLARATION}<items />"


def xml_document(document: Mapping[str, Any]) -> bytes:
    """Render one document as `<item>...</item>`."""
    return "".join(xml_document_parts(document)).encode()


def xml_document_parts(document: Mapping[str, Any]) -> Iterator[str]:
    """The same, bit by bit."""
    yield _DECLARATION
    yield from _element("item", dict(document))


def _element(name: str, value: Any) -> Iterator[str]:
    """Render a value as an element. Objects and arrays contain elements. Null and empty values contain nothing."""
    if not isinstance(value, dict | list):
        yield from _leaf(name, value)
        return
    tag = xml_name(name)
    yield f"<{tag}>"
    for inner_name, inner in _children(name, value):
        yield from (_element if isinstance(inner, dict | list) else _leaf)(inner_name, inner)
    yield f"</{tag}>"


def _leaf(name: str, value: Any) -> Iterator[str]:
    """Render a value that holds no others as an element, a long one in pieces."""
    tag, text = xml_name(name), csv_cell(value)
    if len(text) <= _LONG:
        yield f"<{tag}>{_xml_text(text)}</{tag}>"
        return
    yield f"<{tag}>"
    for at in range(0, len(text), _LONG):
        yield _xml_text(text[at : at + _LONG])
    yield f"</{tag}>"


def _children(name: str, value: dict[str, Any] | list[Any]) -> Iterable[tuple[str, Any]]:
    """Yield the contents of an object or an array with the names of their elements."""
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
