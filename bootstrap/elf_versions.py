"""Reads the symbol versions that an ELF file requires, and marks requirements as weak."""

from __future__ import annotations

import struct
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile

_VER_FLG_WEAK = 0x2
_VERNAUX_FLAGS_OFFSET = 4  # Elf64_Vernaux: vna_hash (4 bytes), then vna_flags (2 bytes)


@dataclass(frozen=True)
class Requirement:
    """An entry of `.gnu.version_r`: a symbol version that a library must have.

    Attributes:
        name: the version, such as `GLIBC_2.38`.
        flags: the bits of `vna_flags`.
        index: the value in `.gnu.version` for the symbols of this version.
        offset: the position of the entry in the file, in bytes.
    """

    name: str
    flags: int
    index: int
    offset: int

    @property
    def weak(self) -> bool:
        """Whether the loader ignores the requirement if it cannot meet it."""
        return bool(self.flags & _VER_FLG_WEAK)


def open_elf(stream: BinaryIO) -> ELFFile:
    """Returns the ELF file in `stream`."""
    # A local import, because pyelftools is installed only on Linux.
    from elftools.elf.elffile import ELFFile

    return ELFFile(stream)


def requirements(elf: ELFFile) -> Iterator[Requirement]:
    """Yields the required versions of `elf`."""
    section = elf.get_section_by_name(".gnu.version_r")
    offset = section["sh_offset"] if section else 0
    for library, versions in section.iter_versions() if section else ():
        at = offset + library["vn_aux"]
        for version in versions:
            yield Requirement(version.name, version["vna_flags"], version["vna_other"], at)
            at += version["vna_next"]
        offset += library["vn_next"]


def symbols_of(elf: ELFFile, versions: Container[str]) -> list[str]:
    """Returns the symbols of `elf` that have one of `versions`. A loader that lacks the version refuses the file."""
    indexes = {requirement.index for requirement in requirements(elf) if requirement.name in versions}
    table = elf.get_section_by_name(".gnu.version")
    if not indexes or table is None:
        return []
    return [symbol.name for symbol in table.iter_symbols() if symbol["ndx"] in indexes]


def weaken(path: Path, versions: Container[str]) -> None:
    """Marks the required `versions` of the file at `path` as weak. Sets two bytes of each in place."""
    with path.open("rb") as stream:
        chosen = [requirement for requirement in requirements(open_elf(stream)) if requirement.name in versions]
    with path.open("r+b") as stream:
        for requirement in chosen:
            stream.seek(requirement.offset + _VERNAUX_FLAGS_OFFSET)
            stream.write(struct.pack("<H", requirement.flags | _VER_FLG_WEAK))
