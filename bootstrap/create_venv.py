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
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from typing import Any

if not __package__:  # run by its path, which puts this folder on the module search path, but not its parent
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from bootstrap.steps import BUILD, LOG, ROOT, VENV, StepError, only_one, run, say, step
from bootstrap.supported import (
    UnsupportedError,
    check_platform,
    check_python,
    preferred_python,
    running_python,
    version_of,
)

STAMP = VENV / "kindred.stamp"

INPUTS = (
    "uv.lock",
    "pyproject.toml",
    "bootstrap/create_venv.py",
    "bootstrap/uv.txt",
    "bootstrap/supported.py",
    "bootstrap/steps.py",
    "bootstrap/glibc.py",
    "bootstrap/elf_versions.py",
)
"""Files that determine the content of `.venv`, relative to the repository. A change triggers a new setup."""

UV_REQUIREMENT = ROOT / "bootstrap" / "uv.txt"
"""The version of uv and the hashes of its wheels, for pip."""

UV_PINNED = re.search(r"^uv==(\S+)", UV_REQUIREMENT.read_text(), re.MULTILINE).group(1)  # type: ignore[union-attr]
UV_FOLDER = BUILD / ("uv-" + UV_PINNED)
UV_OLDEST = (0, 9, 0)
"""The oldest uv that is known to read this lock and this pyproject.toml."""

TAGGED_PLATFORM = "x86_64-manylinux_2_39"
"""The platform tag of two TFX wheels. uv installs them on older systems too, and the repair makes them load."""

DISK_NEEDED = 6 * 10**9
"""Bytes for 3.1 GB of packages in `.venv` and nearly as much in the download cache of uv."""


def main(arguments: "list[str]") -> int:
    """Creates or updates `.venv` and returns the exit code. Does nothing if it is up to date."""
    parser = argparse.ArgumentParser(description="Create .venv from uv.lock.")
    parser.add_argument("--chosen", action="store_true", help="use the Python that runs this program")
    options = parser.parse_args(arguments)
    try:
        python = running_python()
        if not options.chosen:
            python = preferred_python(read_stamp().get("python", ""))
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
            run([str(VENV / "bin" / "python"), "-m", "bootstrap.glibc"], "The repair of two packages")
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
        pip = [str(staged / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-deps"]
        run([*pip, "--require-hashes", "--requirement", str(UV_REQUIREMENT)], "Installing uv with pip")
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
