"""Creates `.venv` from `uv.lock` on a machine with only make, git and a Python. `make` calls it.

It runs on the system's Python before any package is installed, so it uses only the standard library. It must parse on
Python 3.6, so that an old Python prints a message instead of a syntax error. Annotations are quoted for this reason.

The steps, each printed with its seconds:

1. Refuse an unsupported Python, platform or system with one sentence and exit code 2.
2. Use the uv on PATH, or install the pinned uv under build/.
3. Install the locked packages into `.venv`.
4. Repair two packages if the C library is older than their tag requires (`bootstrap/glibc.py`).
5. Write the stamp. It comes last, so the next call repeats an interrupted setup.

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
"""Files that determine the content of `.venv`, relative to the repository. A change triggers a new setup."""

PYTHONS = ((3, 13), (3, 12), (3, 11), (3, 10))
"""The supported Pythons, in order of preference."""

UV_PINNED = "0.13.9"
UV_FOLDER = BUILD / ("uv-" + UV_PINNED)
UV_OLDEST = (0, 9, 0)
"""The oldest uv that is known to read this lock and this pyproject.toml."""

OLDEST_GLIBC = (2, 35)
TAGGED_PLATFORM = "x86_64-manylinux_2_39"
"""The platform tag of two TFX wheels. uv installs them on older systems too, and the repair makes them load."""

DISK_NEEDED = 6 * 10**9
"""Bytes for 3.1 GB of packages in `.venv` and nearly as much in the download cache of uv."""


class UnsupportedError(Exception):
    """The Python or the machine is not supported. The message is one sentence with a solution. Exit code 2."""


class StepError(Exception):
    """A step of the setup failed. The message names the step and its log. Exit code 1."""


def main(arguments: "list[str]") -> int:
    """Creates or updates `.venv` and returns the exit code. Does nothing if it is up to date."""
    parser = argparse.ArgumentParser(description="Create .venv from uv.lock.")
    parser.add_argument("--chosen", action="store_true", help="use the Python that runs this program")
    options = parser.parse_args(arguments)
    try:
        python = running_python()
        if not options.chosen:
            python = preferred_python()
        check_python(python, options.chosen)
        if python["executable"] != running_python()["executable"]:
            # The other checks concern the Python of .venv, so that Python must run them.
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
        print("\nInterrupted. The next make repeats the setup.", file=sys.stderr)
        return 130
    return 0


# --- Python ---------------------------------------------------------------------------------------------------------

DESCRIBE = (
    "import json, os, platform, sys; print(json.dumps({"
    "'executable': os.path.realpath(getattr(sys, '_base_executable', None) or sys.executable), "
    "'version': platform.python_version(), 'implementation': platform.python_implementation(), "
    "'bits': 64 if sys.maxsize > 2**32 else 32, 'abiflags': getattr(sys, 'abiflags', '')}))"
)
"""Describes the Python that runs it. In a virtual environment, describes the base Python. `.venv` may be active, and
it cannot be created from itself."""


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


def preferred_python() -> "dict[str, Any]":
    """Returns the default Python: that of the last setup, the running one, or a supported one on PATH."""
    last = describe(read_stamp().get("python", "")) if STAMP.exists() else None
    if last and supported(last):
        return last
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


# --- machine --------------------------------------------------------------------------------------------------------


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


def check_disk() -> None:
    """Raises UnsupportedError if the packages would not fit, so that no installation fails halfway."""
    free = shutil.disk_usage(str(ROOT)).free
    if free < DISK_NEEDED and not VENV.exists():
        raise UnsupportedError(
            f"The setup needs {DISK_NEEDED / 1e9:.0f} GB of disk space, but {ROOT} has {free / 1e9:.1f} GB free: "
            "free some space first."
        )


# --- steps ----------------------------------------------------------------------------------------------------------


def set_up(python: "dict[str, Any]") -> None:
    """Updates `.venv` to the lock for `python`. Returns at once if it is up to date."""
    BUILD.mkdir(exist_ok=True)
    with only_one():
        wanted = {"digest": digest(python), "python": python["executable"]}
        if read_stamp() == wanted and (VENV / "bin" / "python").exists():
            STAMP.touch()  # make compares times, and a branch switch changes those of unchanged files
            return
        check_disk()
        uv = find_uv() or installed_uv()
        if uv is None:
            check_venv_module(python)
        LOG.write_text("")
        say("Setting up .venv with Python {} (only once).".format(python["version"]))
        remove_unfinished_venv()
        if STAMP.exists():
            STAMP.unlink()  # an interrupted setup must not keep the stamp of an earlier one
        uv = uv or install_uv(python)
        with step("install the locked packages"):
            install_packages(uv, python)
        with step("check the C library"):
            run([str(VENV / "bin" / "python"), str(ROOT / "bootstrap" / "glibc.py")], "The repair of two packages")
        STAMP.write_text(json.dumps(wanted))


def remove_unfinished_venv() -> None:
    """Empties a `.venv` without a stamp, a Python or a pyvenv.cfg.

    uv cannot complete it. uv treats a package as installed once its metadata exist, so files that a killed
    installation did not write would stay missing. The folder itself stays, because it may be a link to a larger disk.
    """
    parts = (STAMP, VENV / "bin" / "python", VENV / "pyvenv.cfg")
    left = list(VENV.iterdir()) if VENV.exists() else []
    if left and not all(part.exists() for part in parts):
        with step("remove the .venv of an unfinished setup"):
            for path in left:
                shutil.rmtree(str(path)) if path.is_dir() and not path.is_symlink() else path.unlink()


def digest(python: "dict[str, Any]") -> str:
    """Returns a hash of everything that determines the content of `.venv`: the files in `INPUTS` and the Python."""
    total = hashlib.sha256()
    for name in INPUTS:
        total.update(hashlib.sha256((ROOT / name).read_bytes()).digest())
    total.update("{} {}".format(python["executable"], version_of(python["version"])[:2]).encode())
    return total.hexdigest()


def read_stamp() -> "dict[str, str]":
    """Returns the stamp of the last complete setup, or an empty dictionary."""
    try:
        return dict(json.loads(STAMP.read_text()))
    except (OSError, ValueError):
        return {}


def find_uv() -> "str | None":
    """Returns the uv on PATH if it is new enough for the lock, otherwise None."""
    uv = shutil.which("uv")
    if uv is None:
        return None
    try:
        version = subprocess.check_output([uv, "--version"], stderr=subprocess.DEVNULL).decode()  # uv 0.13.9 (...)
    except (OSError, subprocess.CalledProcessError):
        return None
    return uv if version_of(version.replace("uv ", "", 1)) >= UV_OLDEST else None


def installed_uv() -> "str | None":
    """Returns the pinned uv under build/ if an earlier setup installed it, otherwise None."""
    uv = UV_FOLDER / "bin" / "uv"
    return str(uv) if uv.exists() else None


def install_uv(python: "dict[str, Any]") -> str:
    """Installs the pinned uv under build/, in a staging directory that is renamed when complete."""
    staged = UV_FOLDER.with_name(UV_FOLDER.name + ".staged")
    shutil.rmtree(str(staged), ignore_errors=True)
    with step("install uv " + UV_PINNED):
        run([python["executable"], "-m", "venv", str(staged)], "Creating a virtual environment for uv")
        pip = [str(staged / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
        run([*pip, "uv==" + UV_PINNED], "Installing uv with pip")
    shutil.rmtree(str(UV_FOLDER), ignore_errors=True)
    staged.rename(UV_FOLDER)  # scripts of a moved environment do not run, but uv is a standalone program
    return str(UV_FOLDER / "bin" / "uv")


def check_venv_module(python: "dict[str, Any]") -> None:
    """Raises UnsupportedError if the Python has no venv module. Debian and Ubuntu package it separately."""
    try:
        import ensurepip  # noqa: F401 - `python -m venv` needs it, and Debian packages it separately
        import venv  # noqa: F401
    except ImportError:
        name = "python{}.{}-venv".format(*version_of(python["version"]))
        raise UnsupportedError(
            "Python {} has no venv module: install it (`apt-get install {}` on Debian and Ubuntu), or put uv "
            "on PATH.".format(python["version"], name)
        ) from None


def install_packages(uv: str, python: "dict[str, Any]") -> None:
    """Runs `uv sync`. It copies files instead of linking them, because the repair must not edit the cache of uv.

    It compiles bytecode, because PYTHONDONTWRITEBYTECODE may prevent that later. Without bytecode, every start takes
    more than twice as long.
    """
    command = [uv, "sync", "--frozen", "--link-mode=copy", "--compile-bytecode", "--no-python-downloads"]
    command += ["--python", python["executable"]]
    if sys.platform == "linux":
        command += ["--python-platform", TAGGED_PLATFORM]
    run(command, "Installing the packages")


def run(command: "list[str]", what: str) -> None:
    """Runs the program of a step, and logs its output.

    Raises:
        StepError: the program failed. The message has the last lines of its output.
    """
    excluded = ("VIRTUAL_ENV", "UV_PYTHON", "UV_PROJECT_ENVIRONMENT", "PYTHONHOME", "PYTHONPATH")
    environment = {name: value for name, value in os.environ.items() if name not in excluded}
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
        raise StepError("\n".join([*last, f"{what} failed. The complete output is in {LOG}."]))


@contextlib.contextmanager
def only_one() -> "Iterator[None]":
    """Lets only one setup run at a time, because two would write the same files."""
    with (BUILD / "setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another make is setting up .venv. Waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def step(what: str) -> "Iterator[None]":
    """Prints the name of a step when it starts, and its seconds when it ends."""
    print(f"  {what} ...", end="", file=sys.stderr, flush=True)
    start = time.time()
    try:
        yield
    except BaseException:
        print(file=sys.stderr)
        raise
    say(f" {time.time() - start:.1f} s")


def say(text: str) -> None:
    """Prints to stderr, because stdout belongs to the command that make runs next."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
