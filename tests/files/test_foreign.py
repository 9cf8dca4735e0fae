"""Files of other kinds: a sentence says what each of them is, and what to do."""

import io
from datetime import UTC

import pytest

from apiv3.files import reading
from apiv3.files.records import Malformed, Record

GERMAN = (
    "Index,Zeitstempel (JJJJ-MM-TTThh:mm:ss),Ereignistyp,Ereignisuntertyp,Patientendaten,Gerätedaten,ID des Quellgeräts,"
    "Glukosewert (mg/dL),Insulinwert (u)\n1,2024-01-31T12:00:00,EGV,,,,G6,100,\n"
)
FRENCH = "Index,Horodatage (AAAA-MM-JJThh:mm:ss),Type d'événement,Valeur de glucose (mmol/L),Valeur d'insuline (u)\n"
SPANISH = "Índice;Marca de tiempo (AAAA-MM-DDThh:mm:ss);Tipo de evento;Nivel de glucosa (mg/dL)\n"
ITALIAN = "Indice\tData e ora\tTipo evento\tValore del glucosio (mg/dL)\n"
ENGLISH = "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Glucose Value (mg/dL)\n1,2024-01-31T12:00:00,EGV,100\n"
ENTRIES = '[{"date":1600087000000,"app":"x"}]'


def read(data: bytes) -> list[Record]:
    return list(reading.read(io.BufferedReader(io.BytesIO(data)), UTC, "entries"))


@pytest.mark.parametrize(
    ("data", "what", "to_do"),
    [
        *((text.encode(), "English names", "language of Clarity") for text in (GERMAN, FRENCH, SPANISH, ITALIAN)),
        (GERMAN.encode("utf-8-sig"), "English names", "language of Clarity"),
        (GERMAN.encode("cp1252"), "English names", "language of Clarity"),
        *((text.encode("utf-16"), "UTF-16", "iconv") for text in (GERMAN, ENGLISH, ENTRIES)),
        (ENGLISH.encode("utf-16-le"), "UTF-16", "iconv -f UTF-16LE"),
        (ENTRIES.encode("utf-16-be"), "UTF-16", "iconv -f UTF-16BE"),
        (
            (ENGLISH + "2,2024-01-31T12:05:00,Note,Übelkeit\n").encode("cp1252"),
            "after line 2 it is no CSV in UTF-8",
            "WINDOWS-1252",
        ),
        *(
            (f"{mark}\r\n{ENGLISH.replace(',', ';')}".encode(), "first line is sep=", "delete that line")
            for mark in ("sep=;", "SEP=;", '"sep=;"', "\ufeffsep=;", "sep=,")
        ),
        (b"PK\x03\x04rest", "XLSX", "CSV"),
        (b"\x1f\x8b\x08rest", "gzip", "unpack"),
        (b"\x2a\0\0\0\x07_id\0rest", "BSON", "bsondump"),
        (b"\x89PNG\r\n\x1a\n", "neither JSON, nor NDJSON, nor a Dexcom Clarity export", ""),
        (b"a,b,c\n1,2,3\n", "neither JSON, nor NDJSON, nor a Dexcom Clarity export", ""),
    ],
)
def test_what_it_is_and_what_to_do(data: bytes, what: str, to_do: str) -> None:
    with pytest.raises(Malformed, match=what) as refusal:
        read(data)
    assert to_do in str(refusal.value)


@pytest.mark.parametrize("data", [ENGLISH.encode(), ENTRIES.encode(), b'{"a":"mg/dl, x, y"}', b"", b"\n"])
def test_what_can_be_read(data: bytes) -> None:
    assert len(read(data)) == (0 if not data.strip() else 1)
