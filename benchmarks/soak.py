"""The life of a root: many runs of changing data with retention. Time, disk and memory must stay the same.

    python -m benchmarks.soak [--runs 1000] [--keep 3] [--rows 3000]

Each run is a process of its own. It reads a new span, trains, publishes and removes what section `keep` does not keep.
The rules may refuse a model, because spans are small. The result counts these runs.
The means of the first and of the last tenth are compared. The first run, which imports from a cold file cache, is not
counted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from errors import ModelRefused

_LEFT, _RIGHT = 60, 40
_FILE = """
name: soak
data: {path: "span-{SPAN}/*.csv"}
model: {dimension: 8, objective: regression}
train: {epochs: 2, optimizer: als, als: {copies: 1, ridge: 2.0, implicit: 2.0}}
publish: {keep: 2}
"""


def main() -> None:
    """Measures. Prints a line per run."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="kindred-soak-") as folder:
        place = Path(folder)
        (place / "pipeline.yaml").write_text(_FILE)
        found = [_run(place, span, arguments) for span in range(1, arguments.runs + 1)][1:]
    tenth = max(1, len(found) // 10)
    result: dict[str, object] = {"benchmark": "soak", "runs": arguments.runs, "keep": arguments.keep}
    for name in found[0]:
        first, last = (statistics.mean(run[name] for run in runs) for runs in (found[:tenth], found[-tenth:]))
        result[name] = [round(first, 2), round(last, 2)]
    print(json.dumps(result))


def _run(place: Path, span: int, arguments: argparse.Namespace) -> dict[str, float]:
    _write_pairs(place / f"span-{span}", span, arguments.rows)
    words = ["run", "--config", str(place / "pipeline.yaml"), "--root", str(place / "root"), "--span", str(span)]
    since, processor = time.monotonic(), _processor_seconds()
    done = subprocess.run(
        [sys.executable, "-m", "kindred", *words, "--set", f"keep.runs={arguments.keep}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, text=True,
    )  # fmt: skip
    if done.returncode not in (0, ModelRefused.exit_code):
        sys.exit(f"run {span} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    root = place / "root"
    run = {
        "seconds": time.monotonic() - since,
        "processor_seconds": _processor_seconds() - processor,
        "refused": float(done.returncode == ModelRefused.exit_code),
        "artifacts_mb": _bytes(root / "pipeline") / 1e6,
        "runs_mb": _bytes(root / "runs") / 1e6,
        "database_mb": (root / "metadata.sqlite").stat().st_size / 1e6,
        "serving_mb": _bytes(root / "serving") / 1e6,
        "folders_in_tmp": len(list(Path(tempfile.gettempdir()).glob("kindred-*"))),
        "peak_mib_so_far": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }
    print(f"run {span}: {json.dumps({name: round(value, 2) for name, value in run.items()})}", flush=True)
    return run


def _processor_seconds() -> float:
    """Returns the processor time of all runs so far, which other load changes less than the time by the clock."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _write_pairs(folder: Path, span: int, rows: int) -> None:
    """Writes pairs with planted scores, which differ from span to span."""
    numbers = random.Random(span)
    folder.mkdir()
    with open(folder / "pairs.csv", "w", encoding="utf-8") as file:
        file.write("left_id,right_id,score\n")
        for _ in range(rows):
            left, right = numbers.randrange(_LEFT), numbers.randrange(_RIGHT)
            file.write(f"u{left},i{right},{(left % 5 - 2) * (right % 5 - 2) + numbers.gauss(0, 0.3):.3f}\n")


def _bytes(folder: Path) -> int:
    return sum(os.path.getsize(os.path.join(place, name)) for place, _, names in os.walk(folder) for name in names)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=str(__doc__).splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--keep", type=int, default=3)
    parser.add_argument("--rows", type=int, default=3000)
    return parser.parse_args()


if __name__ == "__main__":
    main()
