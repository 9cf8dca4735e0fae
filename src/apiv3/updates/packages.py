"""Debian packages: what a file .deb says of itself, checked, and as a paragraph of an index."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from debian.deb822 import Deb822
from debian.debfile import DebFile
from debian.debian_support import NativeVersion

from apiv3.model.errors import BadRequest

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]{1,99}", re.ASCII)
_VERSION = re.compile(r"(?=.{1,99}\Z)(\d{1,9}:)?\d[A-Za-z0-9.+~]*(-[A-Za-z0-9.+~]+)*", re.ASCII)
_ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9-]{0,29}", re.ASCII)
_OURS = ("Filename", "Size", "MD5sum", "SHA1", "SHA256", "SHA512")
"""Fields that the repository sets; a package that brings them along is not believed."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package, as Debian Policy describes it (section 5.3). `digest`: the hex SHA-256 of its file. `fields`: those of its
    control file. `size`: bytes of its file.
    """

    name: str
    version: str
    architecture: str
    digest: str
    size: int
    fields: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> Package:
        """Read a file .deb. Raises BadRequest when it is none, or names itself in a way that apt does not allow; OSError."""
        digest, size = _digest(path), path.stat().st_size
        try:
            with DebFile(str(path)) as deb:
                fields = dict(deb.debcontrol())
        except Exception as error:  # those of five libraries: the archives in each other, and their compression
            raise BadRequest(f"This is no Debian package: {error}") from error
        return cls.of(fields, digest, size)

    @classmethod
    def of(cls, fields: Mapping[str, str], digest: str, size: int) -> Package:
        """Make a package of the fields of its control file. Raises BadRequest."""
        name, version = _checked(fields, "Package", _NAME), _checked(fields, "Version", _VERSION)
        kept = {field: value for field, value in fields.items() if field not in _OURS}
        return cls(name, version, _checked(fields, "Architecture", _ARCHITECTURE), digest, size, kept)

    @property
    def file_name(self) -> str:
        """The name of its file in the pool. No version contains an underscore, so no two versions share one."""
        return f"{self.name}_{self.version.replace(':', '_')}_{self.architecture}.deb"

    @property
    def paragraph(self) -> str:
        """The paragraph of the package in the index `Packages`."""
        ours = {"Filename": f"pool/{self.file_name}", "Size": str(self.size), "SHA256": self.digest}
        return str(Deb822({**self.fields, **ours}).dump())

    def is_older_than(self, other: Package) -> bool:
        """Whether the version is lower than another one, by the rules of Debian Policy, section 5.6.12."""
        return bool(NativeVersion(self.version) < NativeVersion(other.version))


def read_index(text: str) -> list[Package]:
    """Return the packages of an index `Packages` that this server has written."""
    paragraphs = (dict(each) for each in Deb822.iter_paragraphs(text, use_apt_pkg=False))
    return [Package.of(fields, fields["SHA256"], int(fields["Size"])) for fields in paragraphs]


def _checked(fields: Mapping[str, str], name: str, pattern: re.Pattern[str]) -> str:
    value = fields.get(name, "")
    if not pattern.fullmatch(value):
        raise BadRequest(f"The package has no valid {name}: {value[:100]!r}")
    return value


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
