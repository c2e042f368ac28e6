"""`kindred doctor` detects code that cannot be imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import source_files

pytestmark = pytest.mark.tensorflow


def test_broken_modules_are_reported_with_a_fix(tmp_path: Path) -> None:
    source = source_files.copy_of_the_program(tmp_path)
    metrics = source / "components" / "evaluator" / "metrics.py"
    with metrics.open("a", encoding="utf-8") as file:
        file.write("\ndef broken(:\n")
    lines = metrics.read_text(encoding="utf-8").count("\n")
    with (source / "trainer" / "preprocessing.py").open("a", encoding="utf-8") as file:
        file.write("\nimport a_missing_library\n")
    command = [sys.executable, "-m", "pipeline.commands.doctor"]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path.parent, env=environment, check=False)
    printed = {line[8:].split("  ")[0].strip(): line for line in done.stdout.splitlines()}
    assert done.returncode == 1 and done.stderr == ""
    cause = f"SyntaxError: invalid syntax (components/evaluator/metrics.py, line {lines})"
    for check in ("components", "graph"):
        assert printed[check].startswith("FAILED") and printed[check].endswith(cause), check
    assert "No module named 'a_missing_library' (trainer/preprocessing.py" in printed["trainer"]
    assert "metrics.py" not in printed["trainer"]
    assert printed["import tensorflow"].startswith("ok")
    (fix,) = (line for line in done.stdout.splitlines() if line.startswith("components, "))
    assert fix.endswith("Install Kindred again: `pip install --force-reinstall --no-deps WHEEL`."), fix
    assert done.stdout.splitlines()[-1].endswith("checks failed.")


def test_missing_function_named_by_string_is_reported(tmp_path: Path) -> None:
    source = source_files.copy_of_the_program(tmp_path)
    (source / "trainer" / "preprocessing.py").unlink()
    code = (
        "from pipeline.commands.doctor import probes\n"
        "checks = [probes.tried(n, p) for n, p in probes.probes() if n not in probes.PACKAGES]\n"
        "print(*(f'{c.name}: {c.found}' for c in checks if not c.ok), sep='\\n')"
    )
    environment = {**os.environ, "PYTHONPATH": str(source)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False, cwd=source
    )
    assert done.stdout.splitlines() == ["Transform: ModuleNotFoundError: No module named 'trainer.preprocessing'"]
