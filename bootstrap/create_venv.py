"""Makes `.venv` from `uv.lock`, on a machine that has nothing but make, git and a Python; `make` calls it.

Standard library only: it runs with the system's Python, before anything is installed. It must at least parse on
Python 3.6, so that an old Python gets a sentence and no syntax error: hence the quoted annotations.

What it does, each step on one line with its seconds:

1. refuses, in one sentence and with exit code 2, a Python, platform or system that the lock is not made for;
2. takes uv from PATH, or else installs the pinned one under build/;
3. installs the locked packages into `.venv`;
4. repairs two of them where the C library is older than their tag (`bootstrap/glibc.py`);
5. writes the stamp, last of all: an interrupted set-up has no stamp, and the next call does it again.

Exit codes: 0 `.venv` is ready, 1 a step failed, 2 this machine or Python is not supported, 130 interrupted.
"""

import argparse
import contextlib
import fcntl
import functools
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(os.path.abspath(__file__)).parent.parent
BUILD = ROOT / "build"
VENV = ROOT / ".venv"
STAMP = VENV / "kindred.stamp"
LOG = BUILD / "setup.log"

INPUTS = ("uv.lock", "pyproject.toml", "bootstrap/create_venv.py", "bootstrap/glibc.py")
"""The files that decide what is in `.venv`, relative to the repository: a change of one means setting up again."""

PYTHONS = ((3, 13), (3, 12), (3, 11), (3, 10))
"""The supported Pythons, in the order in which they are looked for."""

UV_PINNED = "0.13.9"
UV_FOLDER = BUILD / ("uv-" + UV_PINNED)
UV_OLDEST = (0, 9, 0)
"""The oldest uv known to read this lock and this pyproject.toml."""

OLDEST_GLIBC = (2, 35)
TAGGED_PLATFORM = "x86_64-manylinux_2_39"
"""What two TFX wheels are tagged for; uv is told to take them on older systems too, and the repair makes them load."""

DISK_NEEDED = 6 * 10**9
"""Bytes: 3.1 GB of packages in `.venv`, and nearly as much again in uv's download cache on the first time."""


class UnsupportedError(Exception):
    """Kindred cannot be set up with this Python or here: one sentence that says what to do. Exit code 2."""


class StepError(Exception):
    """A step of the set-up did not succeed: the message says which, and where its output is. Exit code 1."""


def main(arguments: "list[str]") -> int:
    """Sets `.venv` up unless it is there and up to date; returns the exit code."""
    parser = argparse.ArgumentParser(description="Make .venv from uv.lock.")
    parser.add_argument("--chosen", action="store_true", help="use the Python this runs on, and no other")
    options = parser.parse_args(arguments)
    try:
        python = running_python()
        if not options.chosen:
            python = preferred_python()
        check_python(python, options.chosen)
        if python["executable"] != running_python()["executable"]:
            # The rest of the checks are about the Python that .venv is made of: let that one make them.
            os.execv(python["executable"], [python["executable"], os.path.abspath(__file__), "--chosen"])
        check_platform()
        set_up(python)
    except UnsupportedError as error:
        print(error, file=sys.stderr)
        return 2
    except StepError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted: the next make starts the set-up again.", file=sys.stderr)
        return 130
    return 0


# --- which Python ---------------------------------------------------------------------------------------------------

DESCRIBE = (
    "import json, os, platform, sys; print(json.dumps({"
    "'executable': os.path.realpath(getattr(sys, '_base_executable', None) or sys.executable), "
    "'version': platform.python_version(), 'implementation': platform.python_implementation(), "
    "'bits': 64 if sys.maxsize > 2**32 else 32, 'abiflags': getattr(sys, 'abiflags', '')}))"
)
"""Run by each Python that is considered. A virtual environment answers with the Python it was made of, since `.venv`
may itself be the active one, and cannot be made of itself."""


@functools.lru_cache(maxsize=None)  # noqa: UP033 - functools.cache is younger than some Pythons that must get here
def describe(command: str) -> "dict[str, Any] | None":
    """What the Python called `command` says of itself; None if it does not run (a pyenv shim of no version, say)."""
    try:
        answer = subprocess.check_output([command, "-c", DESCRIBE], stderr=subprocess.DEVNULL)
        return dict(json.loads(answer.decode()))
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None


def running_python() -> "dict[str, Any]":
    """The Python that runs this program."""
    return describe(sys.executable) or {}


def preferred_python() -> "dict[str, Any]":
    """The Python to use when none was chosen: that of the last set-up, the running one, or a supported one on PATH."""
    last = describe(read_stamp().get("python", "")) if STAMP.exists() else None
    if last and supported(last):
        return last
    running = running_python()
    if supported(running):
        return running
    return next(filter(supported, pythons_on_path()), running)


def pythons_on_path() -> "list[dict[str, Any]]":
    """Every Python on PATH that goes by a supported version's name and runs, newest version first."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    names = ["python{}.{}".format(*version) for version in PYTHONS]
    paths = [os.path.join(folder, name) for name in names for folder in folders]
    found = (describe(path) for path in paths if os.access(path, os.X_OK))
    return [python for python in found if python]


def version_of(text: str) -> "tuple[int, ...]":
    """The numbers of a version: `3.13.0rc1` is (3, 13, 0), and what has no numbers is ()."""
    match = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(number) for number in match.group().split(".")) if match else ()


def supported(python: "dict[str, Any]") -> bool:
    """Whether the lock has packages for this Python: free-threaded builds (ABI flag t) have none."""
    return (
        version_of(python.get("version", ""))[:2] in PYTHONS
        and python["implementation"] == "CPython"
        and python["bits"] == 64
        and "t" not in python["abiflags"]
    )


def check_python(python: "dict[str, Any]", chosen: bool) -> None:
    """Raises UnsupportedError unless `python` is supported; `chosen`: a person named it, for the wording."""
    if supported(python):
        return
    name = "the one you named" if chosen else "the only one on PATH"
    raise UnsupportedError(
        f"Kindred needs Python 3.10, 3.11, 3.12 or 3.13, and {name} is {title(python)}: install one of them, or name "
        "one with `make PYTHON=/path/to/python3.12 ...`."
    )


def title(python: "dict[str, Any]") -> str:
    """The Python in words, with what sets it apart from the supported build of the same version."""
    if not python:
        return "of no known version"
    bits = "" if python["bits"] == 64 else " for 32 bits"
    threads = " without the GIL" if "t" in python["abiflags"] else ""
    return "{implementation} {version}".format(**python).replace("CPython", "Python") + bits + threads


# --- which machine --------------------------------------------------------------------------------------------------


def check_platform() -> None:
    """Raises UnsupportedError unless the lock has packages for this operating system, processor and C library."""
    system, machine = platform.system(), platform.machine()
    if (system, machine) == ("Darwin", "arm64"):
        return
    if (system, machine) != ("Linux", "x86_64"):
        raise UnsupportedError(
            "TFX publishes packages for Linux on x86-64 and macOS on Apple silicon only, and this is "
            f"{system} on {machine}: use such a machine, or a Linux x86-64 container."
        )
    name, version = c_library()
    if name != "glibc" or version_of(version)[:2] < OLDEST_GLIBC:
        raise UnsupportedError(
            "Kindred needs glibc 2.35 or newer, and this system has {}: use Ubuntu 22.04, Debian 12 or a newer "
            "system.".format(" ".join((name, version)).strip() or "another C library")
        )


def c_library() -> "tuple[str, str]":
    """Name and version of the C library: ("glibc", "2.36"); ("", "") where it does not say, as musl does not."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):
        name, version = "", ""
    return name, version


def check_disk() -> None:
    """Raises UnsupportedError when the packages would not fit: half an installation is a poor way to find that out."""
    free = shutil.disk_usage(str(ROOT)).free
    if free < DISK_NEEDED and not VENV.exists():
        raise UnsupportedError(
            f"The set-up needs {DISK_NEEDED / 1e9:.0f} GB of disk, and {ROOT} has {free / 1e9:.1f} GB free: "
            "make room first."
        )


# --- the steps ------------------------------------------------------------------------------------------------------


def set_up(python: "dict[str, Any]") -> None:
    """Brings `.venv` up to date with the lock for `python`; returns at once when it is."""
    BUILD.mkdir(exist_ok=True)
    with only_one():
        wanted = {"digest": digest(python), "python": python["executable"]}
        if read_stamp() == wanted and (VENV / "bin" / "python").exists():
            STAMP.touch()  # for make, which compares times: a branch switch renews those of unchanged files
            return
        check_disk()
        uv = find_uv() or installed_uv()
        if uv is None:
            check_venv_module(python)
        LOG.write_text("")
        say("Setting up .venv with Python {}; this happens once.".format(python["version"]))
        remove_unfinished_venv()
        if STAMP.exists():
            STAMP.unlink()  # before anything changes: no stamp of an earlier set-up may vouch for a half-done one
        uv = uv or install_uv(python)
        with step("install the locked packages"):
            install_packages(uv, python)
        with step("check the C library"):
            run([str(VENV / "bin" / "python"), str(ROOT / "bootstrap" / "glibc.py")], "The repair of two packages")
        STAMP.write_text(json.dumps(wanted))


def remove_unfinished_venv() -> None:
    """Empties a `.venv` that no complete set-up vouches for.

    Completing it is not possible: uv takes a package for installed once its metadata are there, so files that a
    killed installation did not get to would stay missing. And uv is misled by an environment without a Python or a
    pyvenv.cfg. The folder itself stays: it may be a link to a larger disk.
    """
    parts = (STAMP, VENV / "bin" / "python", VENV / "pyvenv.cfg")
    left = list(VENV.iterdir()) if VENV.exists() else []
    if left and not all(part.exists() for part in parts):
        with step("remove the .venv of a set-up that did not finish"):
            for path in left:
                shutil.rmtree(str(path)) if path.is_dir() and not path.is_symlink() else path.unlink()


def digest(python: "dict[str, Any]") -> str:
    """A hash of all that decides what is in `.venv`: the files of `INPUTS`, and which Python."""
    total = hashlib.sha256()
    for name in INPUTS:
        total.update(hashlib.sha256((ROOT / name).read_bytes()).digest())
    total.update("{} {}".format(python["executable"], version_of(python["version"])[:2]).encode())
    return total.hexdigest()


def read_stamp() -> "dict[str, str]":
    """What the last complete set-up wrote; empty when there is none."""
    try:
        return dict(json.loads(STAMP.read_text()))
    except (OSError, ValueError):
        return {}


def find_uv() -> "str | None":
    """The uv on PATH, if there is one and it is new enough for the lock."""
    uv = shutil.which("uv")
    if uv is None:
        return None
    try:
        version = subprocess.check_output([uv, "--version"], stderr=subprocess.DEVNULL).decode()  # uv 0.13.9 (...)
    except (OSError, subprocess.CalledProcessError):
        return None
    return uv if version_of(version.replace("uv ", "", 1)) >= UV_OLDEST else None


def installed_uv() -> "str | None":
    """The pinned uv that an earlier set-up installed under build/."""
    uv = UV_FOLDER / "bin" / "uv"
    return str(uv) if uv.exists() else None


def install_uv(python: "dict[str, Any]") -> str:
    """Installs the pinned uv under build/; staged, so that it is there whole or not at all."""
    staged = UV_FOLDER.with_name(UV_FOLDER.name + ".staged")
    shutil.rmtree(str(staged), ignore_errors=True)
    with step("install uv " + UV_PINNED):
        run([python["executable"], "-m", "venv", str(staged)], "Making a virtual environment for uv")
        pip = [str(staged / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
        run([*pip, "uv==" + UV_PINNED], "Installing uv with pip")
    shutil.rmtree(str(UV_FOLDER), ignore_errors=True)
    staged.rename(UV_FOLDER)  # the scripts of a moved environment do not run, but uv is a program of its own
    return str(UV_FOLDER / "bin" / "uv")


def check_venv_module(python: "dict[str, Any]") -> None:
    """Raises UnsupportedError where the system's Python came without venv: Debian and Ubuntu package it by itself."""
    try:
        import ensurepip  # noqa: F401 - Debian leaves out this half of what `python -m venv` needs
        import venv  # noqa: F401
    except ImportError:
        name = "python{}.{}-venv".format(*version_of(python["version"]))
        raise UnsupportedError(
            "Python {} has no venv module here: install it (`apt-get install {}` on Debian and Ubuntu), or put uv "
            "on PATH.".format(python["version"], name)
        ) from None


def install_packages(uv: str, python: "dict[str, Any]") -> None:
    """Runs `uv sync`. Copies, not links: the repair edits files that links would share with uv's cache.

    Bytecode is compiled now because some systems forbid Python to do so later (PYTHONDONTWRITEBYTECODE), and without
    it every start takes more than twice as long.
    """
    command = [uv, "sync", "--frozen", "--link-mode=copy", "--compile-bytecode", "--no-python-downloads"]
    command += ["--python", python["executable"]]
    if sys.platform == "linux":
        command += ["--python-platform", TAGGED_PLATFORM]
    run(command, "Installing the packages")


def run(command: "list[str]", what: str) -> None:
    """Runs a step's program, its output into the log.

    Raises:
        StepError: it did not succeed; the message holds the last lines of its output.
    """
    ours = ("VIRTUAL_ENV", "UV_PYTHON", "UV_PROJECT_ENVIRONMENT", "PYTHONHOME", "PYTHONPATH")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment["UV_PROJECT_ENVIRONMENT"] = str(VENV)
    with LOG.open("ab") as log:
        log.write("$ {}\n".format(" ".join(command)).encode())
        log.flush()
        start = log.tell()
        code = subprocess.call(command, cwd=str(ROOT), env=environment, stdout=log, stderr=subprocess.STDOUT)
    if code != 0:
        with LOG.open("rb") as log:
            log.seek(start)
            last = log.read().decode(errors="replace").rstrip().splitlines()[-12:]
        raise StepError("\n".join([*last, f"{what} failed; the whole output is in {LOG}."]))


@contextlib.contextmanager
def only_one() -> "Iterator[None]":
    """Lets one set-up run at a time: two makes in two terminals would write the same files."""
    with (BUILD / "setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another make is setting .venv up; waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def step(what: str) -> "Iterator[None]":
    """Prints one line for a step: what it is while it runs, and its seconds when it is done."""
    print(f"  {what} ...", end="", file=sys.stderr, flush=True)
    start = time.time()
    try:
        yield
    except BaseException:
        print(file=sys.stderr)
        raise
    say(f" {time.time() - start:.1f} s")


def say(text: str) -> None:
    """Prints for the person: to stderr, since stdout belongs to the command that make runs next."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
