"""The `kindred` command in its own process, with its exit code and output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

KINDRED = str(Path(sys.executable).with_name("kindred"))


def kindred(
    *arguments: object, timeout: float = 300, source: Path | None = None, temporary: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs the command. `source` is a folder with the packages to run instead of those under test."""
    env = {**os.environ, **({"PYTHONPATH": str(source)} if source else {})}
    env |= {"TMPDIR": str(temporary)} if temporary else {}
    command = [KINDRED, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, env=env)
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


def last_summary(root: Path) -> dict[str, Any]:
    newest = max((root / "runs").glob("*/summary.json"))
    return json.loads(newest.read_text(encoding="utf-8"))


def states(summary: dict[str, Any]) -> dict[str, str]:
    return {component["id"]: component["state"] for component in summary["components"]}
