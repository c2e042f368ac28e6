"""Checks the installation and suggests fixes: `kindred doctor`, `make doctor`.

Libraries and this program's own code are imported in a child process. Their output is hidden, and a library that
crashes Python (such as a module for another C library) becomes a line of the report.

    diagnose()    returns the checks
    main()        prints them and returns the exit code: 0 healthy, 1 otherwise
"""

from __future__ import annotations

import dataclasses

from rich.console import Console
from rich.markup import escape

from kindred.terminal import printable
from pipeline.commands.doctor.check import Check
from pipeline.commands.doctor.child import check_imports
from pipeline.commands.doctor.machine import check_machine
from pipeline.commands.doctor.versions import check_versions, installed_versions, read_lock
from pipeline.options import say_json


def diagnose() -> list[Check]:
    """Runs every check."""
    return [*check_machine(), *check_versions(installed_versions(), read_lock()), *check_imports()]


def render(checks: list[Check], console: Console) -> None:
    """Prints a line per check, then the fixes of failed checks."""
    width = max(len(check.name) for check in checks)
    for check in checks:
        verdict = "[green]ok    [/]" if check.ok else "[red]FAILED[/]"
        console.print(f"{verdict}  {check.name:{width}}  {_shown(check.found)}", soft_wrap=True)
    failed = [check for check in checks if not check.ok]
    for fix in dict.fromkeys(check.fix for check in failed):  # one cause may fail many checks, so print each fix once
        names = ", ".join(check.name for check in failed if check.fix == fix)
        console.print(f"[red]{_shown(names)}:[/] {_shown(fix)}", soft_wrap=True)
    console.print(f"[red]{len(failed)} of {len(checks)} checks failed.[/]" if failed else "[green]Healthy.[/]")


def _shown(text: str) -> str:
    return escape(printable(text))


def main(as_json: bool = False) -> int:
    """Prints the diagnosis. Returns 0 if all checks pass, otherwise 1."""
    checks = diagnose()
    if as_json:
        say_json([dataclasses.asdict(check) for check in checks])
    else:
        render(checks, Console())
    return 0 if all(check.ok for check in checks) else 1
