"""Decides which Pythons and machines Kindred supports.

`create_venv.py` imports it before any package is installed. The same rules apply: only the standard library, and
syntax that Python 3.6 parses.
"""

import functools
import json
import os
import platform
import re
import subprocess
import sys
from typing import Any

PYTHONS = ((3, 13), (3, 12), (3, 11), (3, 10))
"""The supported Pythons, in order of preference."""

OLDEST_GLIBC = (2, 35)


DESCRIBE = (
    "import json, os, platform, sys; print(json.dumps({"
    "'executable': os.path.realpath(getattr(sys, '_base_executable', None) or sys.executable), "
    "'version': platform.python_version(), 'implementation': platform.python_implementation(), "
    "'bits': 64 if sys.maxsize > 2**32 else 32, 'abiflags': getattr(sys, 'abiflags', '')}))"
)
"""Describes the Python that runs it. In a virtual environment, describes the base Python. `.venv` may be active, and
it cannot be created from itself."""


class UnsupportedError(Exception):
    """The Python or the machine is not supported. The message is one sentence with a solution. Exit code 2."""


@functools.lru_cache(maxsize=None)  # noqa: UP033 - functools.cache needs Python 3.9
def describe(command: str) -> "dict[str, Any] | None":
    """Returns the description of a Python, or None if it does not run, such as a pyenv shim without a version."""
    try:
        answer = subprocess.check_output([command, "-c", DESCRIBE], stderr=subprocess.DEVNULL)
        return dict(json.loads(answer.decode()))
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None


def running_python() -> "dict[str, Any]":
    """Returns the description of the Python that runs this program."""
    return describe(sys.executable) or {}


def preferred_python(last: str) -> "dict[str, Any]":
    """Returns the default Python: that of the last setup, the running one, or a supported one on PATH.

    Args:
        last: the path of the Python of the last setup, or an empty string.
    """
    previous = describe(last) if last else None
    if previous and supported(previous):
        return previous
    running = running_python()
    if supported(running):
        return running
    return next(filter(supported, pythons_on_path()), running)


def pythons_on_path() -> "list[dict[str, Any]]":
    """Returns the working Pythons on PATH that are named after a supported version, newest first."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    names = ["python{}.{}".format(*version) for version in PYTHONS]
    paths = [os.path.join(folder, name) for name in names for folder in folders]
    pythons = (describe(path) for path in paths if os.access(path, os.X_OK))
    return [python for python in pythons if python]


def version_of(text: str) -> "tuple[int, ...]":
    """Parses the leading numbers of a version: `3.13.0rc1` gives (3, 13, 0), and text without numbers gives ()."""
    match = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(number) for number in match.group().split(".")) if match else ()


def supported(python: "dict[str, Any]") -> bool:
    """Whether the lock has packages for this Python. It has none for free-threaded builds (ABI flag t)."""
    return (
        version_of(python.get("version", ""))[:2] in PYTHONS
        and python["implementation"] == "CPython"
        and python["bits"] == 64
        and "t" not in python["abiflags"]
    )


def check_python(python: "dict[str, Any]", chosen: bool) -> None:
    """Raises UnsupportedError unless `python` is supported. `chosen` means that the user chose it."""
    if supported(python):
        return
    name = "the chosen one" if chosen else "the only one on PATH"
    raise UnsupportedError(
        f"Kindred needs Python 3.10, 3.11, 3.12 or 3.13, but {name} is {title(python)}: install one of them, or choose "
        "one with `make PYTHON=/path/to/python3.12 ...`."
    )


def title(python: "dict[str, Any]") -> str:
    """Returns the name of a Python, with the differences from a supported build of the same version."""
    if not python:
        return "of an unknown version"
    bits = "" if python["bits"] == 64 else " for 32 bits"
    threads = " without the GIL" if "t" in python["abiflags"] else ""
    return "{implementation} {version}".format(**python).replace("CPython", "Python") + bits + threads


def check_platform() -> None:
    """Raises UnsupportedError unless the lock has packages for this operating system, processor and C library."""
    system, machine = platform.system(), platform.machine()
    if (system, machine) == ("Darwin", "arm64"):
        return
    if (system, machine) != ("Linux", "x86_64"):
        raise UnsupportedError(
            "TFX publishes packages only for Linux on x86-64 and macOS on Apple silicon, but this is "
            f"{system} on {machine}: use one of these machines, or a Linux x86-64 container."
        )
    name, version = c_library()
    if name != "glibc" or version_of(version)[:2] < OLDEST_GLIBC:
        raise UnsupportedError(
            "Kindred needs glibc 2.35 or newer, but this system has {}: use Ubuntu 22.04, Debian 12 or a newer "
            "system.".format(" ".join((name, version)).strip() or "another C library")
        )


def c_library() -> "tuple[str, str]":
    """Returns name and version of the C library: ("glibc", "2.36"), or ("", "") for others, such as musl."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):
        name, version = "", ""
    return name, version
