"""Zip archives. A member has a path like that of a file in a folder: `pairs.zip/2024/pairs.csv`."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator

from components.pair_example_gen.reading.compression import kind_of
from errors import InputError

_OFFICE = "[Content_Types].xml"
_ENCRYPTED = 1


def is_archive(path: str) -> bool:
    """Returns whether a file is a zip archive."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as source:
        return kind_of(source.read(4)) == "zip"


def split(path: str) -> tuple[str, str] | None:
    """Splits the path of a member into (archive, name of the member). Returns None for any other path."""
    parent, name = os.path.split(path)
    if os.path.lexists(path):
        return None
    while name:
        if os.path.isfile(parent):
            return parent, path[len(parent) + 1 :]
        parent, name = os.path.split(parent)
    return None


def on_disk(path: str) -> str:
    """Returns the file itself, or the archive of a member."""
    parts = split(path)
    return parts[0] if parts else path


def members(archive: str) -> Iterator[tuple[str, int]]:
    """Yields path and size of each member, without folders.

    Raises:
      InputError: the archive is damaged, is encrypted, or is an Office file.
    """
    with opened(archive) as source:
        if _OFFICE in source.namelist():
            raise InputError(f"data.path: {archive} is an Excel workbook or another Office file. Save it as CSV")
        for member in source.infolist():
            if member.is_dir():
                continue
            if member.flag_bits & _ENCRYPTED:
                raise InputError(f"data.path: {archive}: {member.filename} is encrypted. Unpack the archive")
            yield os.path.join(archive, member.filename), member.file_size


def opened(archive: str) -> zipfile.ZipFile:
    """Opens an archive.

    Raises:
      InputError: the archive is damaged.
    """
    try:
        return zipfile.ZipFile(archive)
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"data.path: {archive} cannot be read: its zip data is damaged ({error})") from None
