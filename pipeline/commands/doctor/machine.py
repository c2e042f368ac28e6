"""Checks the machine: Python, disk, memory, cores, C library."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import sysconfig
from pathlib import Path

from bootstrap import glibc
from bootstrap.supported import PYTHONS
from pipeline.commands.doctor.check import ROOT, Check, install_again, repair_libraries

LEAST_DISK = 2 * 10**9
"""Bytes. A run of a million pairs leaves about 0.3 GB, so below 2 GB a few runs fill the disk."""
LEAST_MEMORY = 3 * 10**9
"""Bytes. The libraries need 1 GB, and a run also keeps the pairs and the tables in memory."""


def check_machine() -> list[Check]:
    """Runs all checks of this machine."""
    return [
        check_python(sys.version_info[:2], platform.python_implementation()),
        check_disk(shutil.disk_usage(ROOT).free, ROOT),
        check_memory(memory_bytes()),
        Check("cores", True, str(core_count())),
        check_repair(glibc.status(Path(sysconfig.get_path("platlib")))),
    ]


def check_python(version: tuple[int, ...], implementation: str) -> Check:
    """Checks that this Python is supported."""
    ok = version in PYTHONS and implementation == "CPython"
    found = f"{implementation} {platform.python_version()} ({platform.system()}, {platform.machine()})"
    return Check("Python", ok, found, "Set up with a supported Python: `make PYTHON=python3.12 doctor`.")


def check_disk(free: int, folder: Path) -> Check:
    """Checks that `free` bytes are enough for several runs."""
    fix = f"Free at least {LEAST_DISK / 1e9:.0f} GB, for example by removing old runs under build/."
    return Check("disk", free >= LEAST_DISK, f"{free / 1e9:.1f} GB free under {folder}", fix)


def check_memory(size: int) -> Check:
    """Checks that the libraries and a small run fit into `size` bytes of memory."""
    fix = f"Run on a machine, or in a container, with at least {LEAST_MEMORY / 1e9:.0f} GB of memory."
    return Check("memory", size >= LEAST_MEMORY, f"{size / 1e9:.1f} GB", fix)


def memory_bytes() -> int:
    """Returns the memory of the machine, or the limit of its container if that is lower."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return min(machine, int(text)) if text.isdigit() else machine


def core_count() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def check_repair(status: glibc.RepairStatus) -> Check:
    """Checks that two TFX modules for a newer C library can be loaded."""
    fix = install_again() if status.state is glibc.RepairState.NOT_INSTALLED else repair_libraries()
    return Check("C library", status.healthy, str(status), fix)
