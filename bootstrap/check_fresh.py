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
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bootstrap.fresh_machines import (
    CheckError,
    Machine,
    Runner,
    bare_root,
    check_able,
    chroot_runner,
    local_runner,
    logged,
    machines,
    pythons_here,
    quote,
    select,
)

REPOSITORY = Path(__file__).resolve().parent.parent
SETUP = ("make doctor", "make check-wheel")
FULL = ("make run-local", "make test")
UBUNTU_KEYRING = Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg")
"""debootstrap needs it to verify Ubuntu packages. Debian does not install it."""

DESCRIBE = "import os, platform; print(platform.python_version(), os.confstr('CS_GNU_LIBC_VERSION').split()[1])"


@dataclass
class Outcome:
    """The result of the check on one machine."""

    machine: str
    python: str = "?"
    glibc: str = "?"
    seconds: float = 0.0
    problem: str | None = None
    notes: list[str] = field(default_factory=list)


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
