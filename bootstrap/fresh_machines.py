"""Fresh machines for `check_fresh.py`: their list, how to create one, and how to run a command on it.

There are two kinds. A bare Debian or Ubuntu is a minimal debootstrap root, entered with chroot. The other kind is this
machine with one of its installed Pythons.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

SUPPORTED = ("python3.10", "python3.11", "python3.12", "python3.13")
UNSUPPORTED = ("python3.9", "python3.8", "python3.14", "python3.7", "python3.6")
"""The first installed one of these checks the refusal of an unsupported Python. Likely ones come first."""
PACKAGES = ("python3", "make", "git", "ca-certificates")

PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PIP_INDEX_URL")
"""Network settings of this machine that a fresh machine also needs."""

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True)
class Machine:
    """A fresh machine to check the setup on."""

    name: str
    python: str = "python3"
    suite: str | None = None  # of Debian or Ubuntu, or None for another Python on this machine
    components: str = "main"  # of the suite's archive
    packages: tuple[str, ...] = ()
    refused: bool = False  # the setup must fail with one sentence


class CheckError(Exception):
    """A check failed. The table shows the message."""


Runner = Callable[[str, Path], int]
"""Runs a shell command in the clone on the fresh machine, logs its output, and returns the exit code."""


def machines(pythons: Mapping[str, str], ubuntu: bool) -> list[Machine]:
    """Returns all machines.

    Args:
        pythons: the paths of the installed Pythons by command name.
        ubuntu: whether this machine can create an Ubuntu root.
    """
    bare = [
        Machine("bookworm", suite="bookworm", packages=("python3-venv",)),
        Machine("trixie", suite="trixie", packages=("python3-venv",)),
        Machine("bookworm-no-venv", suite="bookworm", refused=True),
    ]
    # jammy has the oldest supported glibc, 2.35. Ubuntu keeps python3-venv in universe.
    jammy = [Machine("jammy", suite="jammy", components="main,universe", packages=("python3-venv",))] if ubuntu else []
    here = [Machine(name, pythons[name]) for name in SUPPORTED if name in pythons]
    old = [Machine(name, pythons[name], refused=True) for name in UNSUPPORTED if name in pythons]
    return bare + jammy + here + old[:1]


def select(wanted: list[str], known: list[Machine]) -> list[Machine]:
    """Returns the machines named `wanted`, or all if it is empty.

    Raises:
        CheckError: a name is unknown.
    """
    by_name = {machine.name: machine for machine in known}
    unknown = [name for name in wanted if name not in by_name]
    if unknown:
        raise CheckError(f"Unknown machine {', '.join(unknown)}. Choose from {', '.join(by_name)}.")
    return [by_name[name] for name in wanted] or known


def pythons_here(path: str, pyenv: Path) -> dict[str, str]:
    """Returns the paths of working Pythons by command name. Prefers pyenv versions to their shims on PATH."""
    paths: dict[str, str] = {}
    folders = [*sorted((pyenv / "versions").glob("*/bin"), reverse=True), *map(Path, path.split(os.pathsep))]
    for name in (*SUPPORTED, *UNSUPPORTED):
        candidates = (str(folder / name) for folder in folders if os.access(folder / name, os.X_OK))
        runs = (command for command in candidates if _output([command, "-c", "print('yes')"]) == "yes")
        first = next(runs, None)
        if first:
            paths[name] = first
    return paths


def _output(command: list[str]) -> str | None:
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


# --- creating a machine ---------------------------------------------------------------------------------------------


def bare_root(machine: Machine, folder: Path) -> Path:
    """Returns the root of `machine` under `folder`. Creates it in a staging directory unless it exists."""
    root = folder / machine.name
    if not root.exists():
        staged = folder / f"{machine.name}.staged"
        shutil.rmtree(staged, ignore_errors=True)
        packages = ",".join((*PACKAGES, *machine.packages))
        options = ["--variant=minbase", f"--components={machine.components}", f"--include={packages}"]
        command = ["debootstrap", *options, str(machine.suite), str(staged)]
        with (folder / f"{machine.name}.debootstrap.log").open("wb") as log:
            if subprocess.call(command, stdout=log, stderr=log) != 0:
                raise CheckError(f"debootstrap failed (log: {log.name})")
        staged.rename(root)
    for name in ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", CERTIFICATES):
        if Path(name).is_file():  # the fresh machine needs the network configuration of this one
            shutil.copyfile(name, root / name.lstrip("/"))
    return root


def chroot_runner(root: Path, clone: Path, home: Path) -> Runner:
    """Returns a runner for `clone` inside `root`. Its mounts end with the command, however that ends."""
    (home / "tmp").mkdir()
    mounts = ("-t proc proc {0}/proc", "--rbind /dev {0}/dev", "--bind {1}/tmp {0}/tmp")
    inside = " && ".join((*(f"mount {mount}" for mount in mounts), "exec chroot {0} /bin/sh -c {2}"))
    where = f"cd /{clone.relative_to(root)} && "

    def run(command: str, log: Path) -> int:
        script = inside.format(quote(str(root)), quote(str(home)), quote(where + command))
        unshare = ["unshare", "--mount", "--fork", "--pid", "--kill-child", "/bin/sh", "-c", script]
        return logged(unshare, log, Path("/"), fresh_environment(os.environ, f"/{home.relative_to(root)}"))

    return run


def local_runner(clone: Path) -> Runner:
    """Returns a runner for `clone` on this machine, without the environment variables that select a Python."""
    dropped = (
        "VIRTUAL_ENV",
        "PYTHONPATH",
        "PYTHONHOME",
        "MAKEFLAGS",
        "MAKELEVEL",
        "MFLAGS",
        "PYTHON",
        "CONFIG",
        "DATA",
    )
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    return lambda command, log: logged(["/bin/sh", "-c", command], log, clone, environment)


def fresh_environment(environment: Mapping[str, str], home: str) -> dict[str, str]:
    """Returns the environment of a fresh machine, with the network settings of this machine."""
    fresh = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": home, "LANG": "C.UTF-8"}
    fresh.update({name: environment[name] for name in PASSED_ON if name in environment})
    fresh.update(dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO"), CERTIFICATES))
    return fresh


def quote(text: str) -> str:
    """Quotes `text` as one word of a POSIX shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def logged(command: list[str], log: Path, folder: Path, environment: Mapping[str, str]) -> int:
    """Runs `command` in `folder`, appends its output to `log`, and returns its exit code."""
    with log.open("ab") as sink:
        return subprocess.call(
            command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
        )


def check_able(chosen: list[Machine]) -> None:
    """Checks that this machine can create the bare machines among `chosen`.

    Raises:
        CheckError: it cannot. The message says what to do.
    """
    if not any(machine.suite for machine in chosen):
        return
    if platform.system() != "Linux" or os.geteuid() != 0:
        raise CheckError(
            "The bare machines need root on Linux (debootstrap, chroot). Run `sudo make check-fresh`, or choose a "
            "Python as in `make check-fresh ONLY=python3.12`."
        )
    if shutil.which("debootstrap") is None:
        raise CheckError("debootstrap is missing. Install it with `apt-get install debootstrap`.")
