"""Checks the setup on fresh machines: `make check-fresh [ONLY=NAME] [FULL=1]`.

Each machine gets only a clone of the last commit of this repository. There are two kinds:

- A bare Debian or Ubuntu (`bookworm`, `trixie`, and `jammy` if the Ubuntu keyring is installed). It is a minimal
  debootstrap root with Python, venv, make and git, entered with chroot. It has no uv, no compiler and no headers, and
  its home directory is empty.
- Each installed Python, by its name (`python3.12`), on PATH or among the versions of pyenv.

The setup must refuse `python3.9` and `bookworm-no-venv`, a root without python3-venv, with exit code 2 and one
sentence.

The chroots need the root user for debootstrap and for mounting /proc and /dev. The mounts are in a separate mount
namespace, so the kernel removes them however the check ends. Roots are kept between calls. Clones, homes and the logs
of successful checks are deleted.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SUPPORTED = ("python3.10", "python3.11", "python3.12", "python3.13")
UNSUPPORTED = ("python3.9", "python3.8", "python3.14", "python3.7", "python3.6")
"""The first installed one of these checks the refusal of an unsupported Python. Likely ones come first."""

SETUP = ("make doctor", "make check-wheel")
FULL = ("make run-local", "make test")
PACKAGES = ("python3", "make", "git", "ca-certificates")

UBUNTU_KEYRING = Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg")
"""debootstrap needs it to verify Ubuntu packages. Debian does not install it."""

PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PIP_INDEX_URL")
"""Network settings of this machine that a fresh machine also needs."""

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
DESCRIBE = "import os, platform; print(platform.python_version(), os.confstr('CS_GNU_LIBC_VERSION').split()[1])"


@dataclass(frozen=True)
class Machine:
    """A fresh machine to check the setup on."""

    name: str
    python: str = "python3"
    suite: str | None = None  # of Debian or Ubuntu, or None for another Python on this machine
    components: str = "main"  # of the suite's archive
    packages: tuple[str, ...] = ()
    refused: bool = False  # the setup must fail with one sentence


@dataclass
class Outcome:
    """The result of the check on one machine."""

    machine: str
    python: str = "?"
    glibc: str = "?"
    seconds: float = 0.0
    problem: str | None = None
    notes: list[str] = field(default_factory=list)


class CheckError(Exception):
    """A check failed. The table shows the message."""


Runner = Callable[[str, Path], int]
"""Runs a shell command in the clone on the fresh machine, logs its output, and returns the exit code."""


# --- machines -------------------------------------------------------------------------------------------------------


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


# --- checking a machine ---------------------------------------------------------------------------------------------


def check(machine: Machine, folder: Path, commands: tuple[str, ...]) -> Outcome:
    """Creates the machine, clones into it, runs the commands and cleans up. Never raises CheckError."""
    outcome = Outcome(machine.name)
    log = folder / f"{machine.name}.log"
    log.unlink(missing_ok=True)
    try:
        home = bare_root(machine, folder) if machine.suite else folder
        with tempfile.TemporaryDirectory(prefix="fresh-", dir=home) as made:
            clone = Path(made, "kindred")
            if logged(["git", "clone", "--quiet", str(REPOSITORY), str(clone)], log, folder, os.environ) != 0:
                raise CheckError(f"git clone failed (log: {log})")
            run = chroot_runner(home, clone, Path(made)) if machine.suite else local_runner(clone)
            start = time.monotonic()
            try:
                try_commands(machine, run, commands, folder, outcome)
            finally:
                outcome.seconds = time.monotonic() - start
        log.unlink()
    except CheckError as error:
        outcome.problem = str(error)
    return outcome


def try_commands(machine: Machine, run: Runner, commands: tuple[str, ...], folder: Path, outcome: Outcome) -> None:
    """Runs `commands` on the machine and fills in `outcome`.

    Raises:
        CheckError: a command failed, or the setup did not refuse as it must.
    """
    log, described = folder / f"{machine.name}.log", folder / f"{machine.name}.described"
    described.unlink(missing_ok=True)
    run(f'{machine.python} -c "{DESCRIBE}"', described)
    outcome.python, outcome.glibc = (*described.read_text().split(), "?", "?")[:2]
    described.unlink()
    for command in commands:
        chosen = "" if machine.suite else f" PYTHON={quote(machine.python)}"
        before, start = log.stat().st_size, time.monotonic()
        code = run(command + chosen, log)
        outcome.notes.append(f"{command} {time.monotonic() - start:.0f} s")
        output = log.read_bytes()[before:].decode(errors="replace")
        if machine.refused:
            outcome.notes = [refusal(code, output)]
            return
        if code != 0:
            raise CheckError(f"{command} failed with exit code {code} (log: {log})")


def refusal(code: int, output: str) -> str:
    """Returns the sentence with which the setup refused, from the exit code and output of make.

    Raises:
        CheckError: the setup did not refuse, or did not print exactly one sentence.
    """
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith("make")]
    if code == 0:
        raise CheckError("the setup did not refuse")
    if code != 2 or len(lines) != 1 or not lines[0].endswith("."):
        raise CheckError(f"refused with exit code {code} and {len(lines)} lines instead of one sentence: {lines[-1:]}")
    return f"refused: {lines[0]}"


# --- command --------------------------------------------------------------------------------------------------------


def table(outcomes: list[Outcome]) -> Iterator[str]:
    """Yields the lines of the table: machine, Python, glibc, seconds, outcome."""
    rows = [("machine", "python", "glibc", "seconds", "outcome")]
    rows += [(o.machine, o.python, o.glibc, f"{o.seconds:.0f}", _verdict(o)) for o in outcomes]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        yield "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])


def _verdict(outcome: Outcome) -> str:
    return f"FAILED: {outcome.problem}" if outcome.problem else f"ok ({', '.join(outcome.notes)})"


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


def main(arguments: list[str]) -> int:
    """Checks the given machines, or all, and prints the table. Returns 0 if every check passed, otherwise 1."""
    parser = argparse.ArgumentParser(prog="make check-fresh", description="Check the setup on fresh machines.")
    parser.add_argument("only", nargs="*", metavar="MACHINE", help="bookworm, trixie, python3.10, ... (default: all)")
    parser.add_argument("--full", action="store_true", help="also run " + " and ".join(FULL))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir(), "kindred-check-fresh"))
    parser.add_argument("--command", action="append", help="run this command instead (repeatable)")
    options = parser.parse_args(arguments)
    commands = tuple(options.command or (SETUP + FULL if options.full else SETUP))
    options.work.mkdir(parents=True, exist_ok=True)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    try:
        ubuntu = UBUNTU_KEYRING.exists() or (options.work / "jammy").exists()
        pythons = pythons_here(os.environ.get("PATH", os.defpath), pyenv)
        chosen = select(options.only, machines(pythons, ubuntu))
        check_able(chosen)
    except CheckError as error:
        print(error, file=sys.stderr)
        return 1
    outcomes = []
    for machine in chosen:
        print(f"{machine.name} ...", file=sys.stderr, flush=True)
        outcomes.append(check(machine, options.work, commands))
    print("\n".join(table(outcomes)))
    return 1 if any(outcome.problem for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
