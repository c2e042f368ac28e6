"""Proves the set-up on fresh machines: `make check-fresh [ONLY=NAME] [FULL=1]`.

Two kinds of machine, each given a clone of the committed state of this repository and nothing else of ours:

- a bare Debian or Ubuntu (`bookworm`, `trixie`; `jammy` where Ubuntu's keyring is): the smallest root that debootstrap
  makes, plus Python, venv, make and git, entered with chroot. No uv, no compiler, no headers, an empty home;
- each Python found here, under its own name (`python3.12`), on PATH or among pyenv's versions.

Where the set-up must refuse (`python3.9`; `bookworm-no-venv`, a root without python3-venv), it must do so with exit
code 2 and one sentence.

The chroots need root, for debootstrap and for mounting /proc and /dev. They are mounted in a mount namespace of their
own, so that the kernel takes them away again however the check ends. Roots are kept between calls; the clones,
homes and logs of what succeeded are not.
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
"""The first of these that is found here shows that an unsupported Python is refused; the likeliest first."""

SETUP = ("make doctor",)
FULL = ("make run-local", "make test")
PACKAGES = ("python3", "make", "git", "ca-certificates")

UBUNTU_KEYRING = Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg")
"""Without it (Debian does not carry it) debootstrap cannot tell whether what it downloads is Ubuntu's."""

PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PIP_INDEX_URL")
"""The settings of this machine's network that a fresh machine would need to be told, too."""

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
DESCRIBE = "import os, platform; print(platform.python_version(), os.confstr('CS_GNU_LIBC_VERSION').split()[1])"


@dataclass(frozen=True)
class Machine:
    """A fresh machine to try the set-up on."""

    name: str
    python: str = "python3"
    suite: str | None = None  # of Debian or Ubuntu; None: this machine, with another Python
    components: str = "main"  # of the suite's archive
    packages: tuple[str, ...] = ()
    refused: bool = False  # the set-up must stop with one sentence


@dataclass
class Outcome:
    """What became of one machine."""

    machine: str
    python: str = "?"
    glibc: str = "?"
    seconds: float = 0.0
    problem: str | None = None
    notes: list[str] = field(default_factory=list)


class CheckError(Exception):
    """A machine did not do what it must; the message is the outcome shown in the table."""


Runner = Callable[[str, Path], int]
"""Runs a shell command in the clone on the fresh machine, its output into a log; returns the exit code."""


# --- which machines -------------------------------------------------------------------------------------------------


def machines(pythons: Mapping[str, str], ubuntu: bool) -> list[Machine]:
    """All machines, given the Pythons found here (command name -> path) and whether an Ubuntu can be made here."""
    bare = [
        Machine("bookworm", suite="bookworm", packages=("python3-venv",)),
        Machine("trixie", suite="trixie", packages=("python3-venv",)),
        Machine("bookworm-no-venv", suite="bookworm", refused=True),
    ]
    # The oldest glibc that is supported, 2.35. Ubuntu keeps python3-venv in universe.
    jammy = [Machine("jammy", suite="jammy", components="main,universe", packages=("python3-venv",))] if ubuntu else []
    here = [Machine(name, pythons[name]) for name in SUPPORTED if name in pythons]
    old = [Machine(name, pythons[name], refused=True) for name in UNSUPPORTED if name in pythons]
    return bare + jammy + here + old[:1]


def select(wanted: list[str], known: list[Machine]) -> list[Machine]:
    """The machines called `wanted`; all when that is empty.

    Raises:
        CheckError: one of them is not known here.
    """
    by_name = {machine.name: machine for machine in known}
    unknown = [name for name in wanted if name not in by_name]
    if unknown:
        raise CheckError(f"There is no {', '.join(unknown)} here; these can be checked: {', '.join(by_name)}.")
    return [by_name[name] for name in wanted] or known


def pythons_here(path: str, pyenv: Path) -> dict[str, str]:
    """The Pythons of this machine that run, by command name: those of pyenv first, whose names on PATH are shims."""
    found: dict[str, str] = {}
    folders = [*sorted((pyenv / "versions").glob("*/bin"), reverse=True), *map(Path, path.split(os.pathsep))]
    for name in (*SUPPORTED, *UNSUPPORTED):
        candidates = (str(folder / name) for folder in folders if os.access(folder / name, os.X_OK))
        runs = (command for command in candidates if _output([command, "-c", "print('yes')"]) == "yes")
        first = next(runs, None)
        if first:
            found[name] = first
    return found


def _output(command: list[str]) -> str | None:
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


# --- making a machine -----------------------------------------------------------------------------------------------


def bare_root(machine: Machine, folder: Path) -> Path:
    """The root of `machine` under `folder`, made unless an earlier call did; staged, so never half there."""
    root = folder / machine.name
    if not root.exists():
        staged = folder / f"{machine.name}.staged"
        shutil.rmtree(staged, ignore_errors=True)
        packages = ",".join((*PACKAGES, *machine.packages))
        options = ["--variant=minbase", f"--components={machine.components}", f"--include={packages}"]
        command = ["debootstrap", *options, str(machine.suite), str(staged)]
        with (folder / f"{machine.name}.debootstrap.log").open("wb") as log:
            if subprocess.call(command, stdout=log, stderr=log) != 0:
                raise CheckError(f"debootstrap failed, see {log.name}")
        staged.rename(root)
    for name in ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", CERTIFICATES):
        if Path(name).is_file():  # what connects this machine to the network connects the fresh one
            shutil.copyfile(name, root / name.lstrip("/"))
    return root


def chroot_runner(root: Path, clone: Path, home: Path) -> Runner:
    """Runs commands in `clone`, inside `root`. The namespace's mounts end with the command, whatever ends it."""
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
    """Runs commands in `clone` on this machine, with this machine's environment less what names a Python."""
    ours = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHON", "CONFIG", "DATA")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    return lambda command, log: logged(["/bin/sh", "-c", command], log, clone, environment)


def fresh_environment(environment: Mapping[str, str], home: str) -> dict[str, str]:
    """What a fresh machine's shell has, and the network settings of this one."""
    fresh = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": home, "LANG": "C.UTF-8"}
    fresh.update({name: environment[name] for name in PASSED_ON if name in environment})
    fresh.update(dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO"), CERTIFICATES))
    return fresh


def quote(text: str) -> str:
    """`text` as one word of a POSIX shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def logged(command: list[str], log: Path, folder: Path, environment: Mapping[str, str]) -> int:
    """Runs `command` in `folder`, its output appended to `log`; returns its exit code."""
    with log.open("ab") as sink:
        return subprocess.call(
            command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
        )


# --- trying a machine -----------------------------------------------------------------------------------------------


def check(machine: Machine, folder: Path, commands: tuple[str, ...]) -> Outcome:
    """Makes the machine, clones into it, runs the commands there, and cleans up; never raises CheckError."""
    outcome = Outcome(machine.name)
    log = folder / f"{machine.name}.log"
    log.unlink(missing_ok=True)
    try:
        home = bare_root(machine, folder) if machine.suite else folder
        with tempfile.TemporaryDirectory(prefix="fresh-", dir=home) as made:
            clone = Path(made, "kindred")
            if logged(["git", "clone", "--quiet", str(REPOSITORY), str(clone)], log, folder, os.environ) != 0:
                raise CheckError(f"git clone failed, see {log}")
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
    """Runs `commands` on the machine and fills in `outcome`; raises CheckError at the first that fails it."""
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
        said = log.read_bytes()[before:].decode(errors="replace")
        if machine.refused:
            outcome.notes = [refusal(code, said)]
            return
        if code != 0:
            raise CheckError(f"{command} gave exit code {code}, see {log}")


def refusal(code: int, said: str) -> str:
    """The sentence with which the set-up refused, from make's exit code and output.

    Raises:
        CheckError: it did not refuse, or said more or less than one sentence.
    """
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith("make")]
    if code == 0:
        raise CheckError("the set-up did not refuse")
    if code != 2 or len(lines) != 1 or not lines[0].endswith("."):
        raise CheckError(f"refused with exit code {code} and {len(lines)} lines instead of one sentence: {lines[-1:]}")
    return f"refused: {lines[0]}"


# --- for people -----------------------------------------------------------------------------------------------------


def table(outcomes: list[Outcome]) -> Iterator[str]:
    """The lines of the table: machine, Python, glibc, seconds, outcome."""
    rows = [("machine", "python", "glibc", "seconds", "outcome")]
    rows += [(o.machine, o.python, o.glibc, f"{o.seconds:.0f}", _verdict(o)) for o in outcomes]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        yield "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])


def _verdict(outcome: Outcome) -> str:
    return f"FAILED: {outcome.problem}" if outcome.problem else f"ok ({', '.join(outcome.notes)})"


def check_able(chosen: list[Machine]) -> None:
    """Raises CheckError, with what to do, where this machine cannot make the bare ones that were `chosen`."""
    if not any(machine.suite for machine in chosen):
        return
    if platform.system() != "Linux" or os.geteuid() != 0:
        raise CheckError(
            "The bare machines need root on Linux (debootstrap, chroot): run `sudo make check-fresh`, or name a "
            "Python as in `make check-fresh ONLY=python3.12`."
        )
    if shutil.which("debootstrap") is None:
        raise CheckError("debootstrap is missing: install it with `apt-get install debootstrap`.")


def main(arguments: list[str]) -> int:
    """Checks the machines named (all when none is) and prints the table; 0 when all did as they must, else 1."""
    parser = argparse.ArgumentParser(prog="make check-fresh", description="Prove the set-up on fresh machines.")
    parser.add_argument("only", nargs="*", metavar="MACHINE", help="bookworm, trixie, python3.10, ... (default: all)")
    parser.add_argument("--full", action="store_true", help="also run " + " and ".join(FULL))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir(), "kindred-check-fresh"))
    parser.add_argument("--command", action="append", help="run this instead; may be given several times")
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
