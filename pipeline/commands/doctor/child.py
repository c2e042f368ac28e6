"""Runs the probes in a child process and reads their results."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline.commands.doctor.check import ROOT, Check, install_again, repair_libraries

PROBES = (sys.executable, "-m", "pipeline.commands.doctor.probes")


def check_imports(command: tuple[str, ...] = PROBES) -> list[Check]:
    """Runs the probes in a child process.

    Args:
      command: the command line. The path of the record file is appended.
    """
    with tempfile.TemporaryDirectory() as folder:
        record, chatter = Path(folder, "record"), Path(folder, "chatter")
        with chatter.open("wb") as sink:
            # Python searches the working directory first, so it imports these packages and no others.
            code = subprocess.call(
                [*command, str(record)], cwd=ROOT, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL
            )
        lines = record.read_text().splitlines() if record.exists() else []
        printed = chatter.read_text(errors="replace").strip().splitlines()[-1:]
    return read_record([json.loads(line) for line in lines], code, printed[0] if printed else "")


def read_record(lines: list[list[object]], code: int, printed: str) -> list[Check]:
    """Returns the recorded checks.

    Args:
      lines: `[name]` at the start of a probe, `[name, ok, found, fix]` at its end.
      code: the exit code of the child. Unless it is 0, the last probe that began failed.
      printed: the last line that the child printed.
    """
    checks = [Check(*line) for line in lines if len(line) > 1]  # type: ignore[arg-type]
    if code != 0:
        begun = str(lines[-1][0]) if lines else "imports"
        end = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        fix = repair_libraries() if is_of_the_c_library(printed) else install_again()
        checks.append(Check(begun, False, f"Python ended with {end}: {printed}", fix))
    return checks


def is_of_the_c_library(text: str) -> bool:
    """Returns whether an error message is about symbols of another C library."""
    return "GLIBC" in text or "CXXABI" in text
