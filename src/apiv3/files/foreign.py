"""Recognise files of other kinds by their beginning, and say what each of them is and what to do with it."""

from __future__ import annotations

from apiv3.files.records import Malformed

_SIGNATURES = {
    b"PK\x03\x04": "it is a spreadsheet (XLSX) or a ZIP archive: save the sheet as CSV in UTF-8, or unpack the archive",
    b"\xd0\xcf\x11\xe0": "it is an old Excel file (XLS): save the sheet as CSV in UTF-8",
    b"\x1f\x8b": "it is compressed by gzip: unpack it first (gunzip)",
    b"\xff\xfe": "it is text in UTF-16: save it as UTF-8, or run iconv -f UTF-16 -t UTF-8",
    b"\xfe\xff": "it is text in UTF-16: save it as UTF-8, or run iconv -f UTF-16 -t UTF-8",
}
_UNMARKED = "it is text in UTF-16 without a mark: save it as UTF-8, or run iconv -f {} -t UTF-8"
_BSON = "it is BSON, as mongodump writes it: bsondump prints it as JSON, which can be imported"
_SEPARATOR = "its first line is sep=, which a spreadsheet put there: delete that line"
_OTHER_CSV = (
    "it is a CSV with glucose in it, but its columns do not have the English names of a Dexcom Clarity export, such as "
    "Timestamp, Event Type and Glucose Value: set the language of Clarity to English, and export it again"
)


def check(start: bytes) -> None:
    """Raise Malformed if this beginning belongs to a kind of file that cannot be read."""
    problem = _signature(start) or _text(start)
    if problem:
        raise Malformed(problem)


def _signature(start: bytes) -> str | None:
    for signature, problem in _SIGNATURES.items():
        if start.startswith(signature):
            return problem
    if start[4:5] in (b"\x07", b"\x02") and start[5:9] == b"_id\0":
        return _BSON
    if start[1:4:2] == b"\0\0" and start[0]:
        return _UNMARKED.format("UTF-16LE")
    if start[0:3:2] == b"\0\0" and start[1]:
        return _UNMARKED.format("UTF-16BE")
    return None


def _text(start: bytes) -> str | None:
    """Return the problem with CSV that is not an unchanged Clarity export."""
    line = start.decode("utf-8-sig", "replace").partition("\n")[0].strip().lower()
    if line.startswith(("sep=", '"sep=')):
        return _SEPARATOR
    is_table = any(line.count(mark) >= 2 for mark in ",;\t") and line[:1] not in ("[", "{")
    return _OTHER_CSV if is_table and ("mg/dl" in line or "mmol/l" in line) else None
