"""Shared parts of the benchmarks: cached data, and measured runs in separate processes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.synthetic import Planted, write_csv

DIMENSION, BATCH = 32, 4096
"""Sizes of the models of whole runs, which the bare script and stock TFX have too."""


def pairs_of(cache: Path, rows: int, entities: int | None = None) -> Path:
    """Returns a folder with one CSV file of planted pairs. Creates it unless it exists.

    Args:
      cache: directory of generated files.
      rows: number of pairs.
      entities: number of entities of each side. None means the defaults of `Planted`.
    """
    planted = Planted(rows) if entities is None else Planted(rows, left_entities=entities, right_entities=entities)
    folder = cache / f"pairs-{rows}-{planted.left_entities}x{planted.right_entities}"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "pairs.csv"
    if not file.exists():
        write_csv(planted, file)
    return folder


def measured_run(module: str, *arguments: str) -> dict[str, Any]:
    """Runs `python -m benchmarks.MODULE ARGUMENTS` and returns the JSON in its last line on stdout.

    Raises:
      SystemExit: the run failed. The message has the end of its output.
    """
    with tempfile.TemporaryFile() as log:
        command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
        finished = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, check=False)
        if finished.returncode:
            log.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{log.read().decode(errors='replace')[-4000:]}")
    measured: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return measured


def pipeline_file(data: Path, epochs: int) -> str:
    """Returns the pipeline file of a whole run on the pairs in the folder `data`."""
    return json.dumps(
        {
            "name": "pairs",
            "data": {"path": str(data.resolve()), "split": {"eval_fraction": 0.1}},
            "model": {"dimension": DIMENSION},
            "train": {"epochs": epochs, "batch_size": BATCH, "early_stopping": None},
            "publish": {"approximate": False},
        }
    )
