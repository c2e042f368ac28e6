"""Compares the packages of the lock with the known vulnerabilities of PyPI: `python -m bootstrap.audit`.

It needs the internet: pip-audit asks PyPI about each package. Exit codes: 0 nothing is known, 1 something is, or the
audit did not run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bootstrap import create_venv

PIP_AUDIT = "pip-audit==2.9.0"
_REPOSITORY = Path(__file__).resolve().parents[1]


def commands(uv: str, requirements: Path) -> list[list[str]]:
    """Returns the commands: one that lists the packages of a run and of the images, and one that audits the list."""
    groups = ["--no-dev", "--group", "tasks", "--group", "serving"]
    export = [uv, "export", "--quiet", "--frozen", *groups, "--no-emit-project", "--output-file", str(requirements)]
    # The list is complete and has hashes, so pip need not resolve anything. Without --strict, a package that PyPI does
    # not answer for would count as safe.
    audit = [uv, "tool", "run", PIP_AUDIT, "--strict", "--disable-pip", "--require-hashes"]
    return [export, [*audit, "--requirement", str(requirements)]]


def main() -> int:
    """Runs the audit and returns its exit code."""
    uv = create_venv.find_uv() or create_venv.installed_uv()
    if uv is None:
        print(
            "The audit needs uv. Install it, or remove .venv and run `make doctor`, which installs it.", file=sys.stderr
        )
        return 1
    with tempfile.TemporaryDirectory() as folder:
        for command in commands(uv, Path(folder, "requirements.txt")):
            code = subprocess.call(command, cwd=_REPOSITORY, env={**os.environ, "PYTHONPATH": ""})
            if code != 0:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
