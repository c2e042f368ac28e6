"""Seconds and peak memory of each component, from one million to thirty million pairs.

    python -m benchmarks.scale [--rows 1000000 3000000 10000000 30000000] [--epochs 1] [--entities N] [--dimension 32]

Planted pairs are streamed to disk. Each side has one entity per twenty pairs, at most 1.5 million. Each size is one
`kindred run` in its own root. `index` is the part of the Trainer's seconds that makes the index of approximate
rankings. `exponent` is the slope of log(seconds) over log(rows), fitted by least squares. Memory
is that of the largest process of the run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.harness import pairs_of

_BATCH = 8192
_PAIRS_PER_ENTITY, _MAX_ENTITIES = 20, 1_500_000
_SAMPLE_SECONDS = 0.2


def main() -> None:
    """Measures. Prints a table per size and one JSON line."""
    arguments = _arguments()
    cache = Path(arguments.cache)
    sizes = [_run(rows, _data(cache, rows, arguments.entities), arguments) for rows in sorted(arguments.rows)]
    rows, seconds = ([size[key] for size in sizes] for key in ("rows", "seconds"))
    result: dict[str, Any] = {"benchmark": "scale", "unit": "s", "n": rows[-1], "runs": 1, "ours": seconds[-1]}
    if len(sizes) > 1:
        result["exponent"] = round(_slope(rows, seconds), 3)
    print(json.dumps(result | {"peak_mib": max(size["peak_mib"] for size in sizes), "sizes": sizes}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=str(__doc__).splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 3_000_000, 10_000_000, 30_000_000])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--entities", type=int, help="of each side")
    parser.add_argument("--dimension", type=int, default=32)
    parser.add_argument("--cache", default="build/bench", help="directory of generated files")
    return parser.parse_args()


def _data(cache: Path, rows: int, entities: int | None) -> Path:
    return pairs_of(cache, rows, entities or min(rows // _PAIRS_PER_ENTITY, _MAX_ENTITIES))


def _run(rows: int, data: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns seconds and MiB of a run, in total and by component.

    Raises:
      SystemExit: the run failed. The message has the end of its output.
    """
    cache = Path(arguments.cache)
    config = cache / "scale.yaml"
    train = {"epochs": arguments.epochs, "batch_size": _BATCH, "early_stopping": None}
    tree = {"name": "scale", "data": {"path": str(data.resolve())}, "train": train}
    tree["model"] = {"dimension": arguments.dimension}
    config.write_text(json.dumps(tree))
    with tempfile.TemporaryDirectory(dir=cache) as root:
        kindred = str(Path(sys.executable).with_name("kindred"))
        since = time.monotonic()
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        with (
            open(Path(root, "output"), "w+b") as output,
            subprocess.Popen(
                [kindred, "run", "--config", str(config), "--root", f"{root}/run"], stdout=output, stderr=output,
                env=environment,
            ) as process,
        ):  # fmt: skip
            memory = _Memory(process.pid)
            process.wait()
            seconds = time.monotonic() - since
            memory.end()
            if process.returncode not in (0, 4):  # 4: the Evaluator refused the model, after measuring it
                sys.exit(Path(root, "output").read_text(errors="replace")[-4000:])
        (summary,) = Path(root, "run", "runs").glob("*/summary.json")
        record = json.loads(summary.read_text())
        components = record["components"]
    print(f"{rows:,} pairs: {seconds:.1f} s, {memory.peak() / 2**20:,.0f} MiB", flush=True)
    ends = since + seconds - sum(component["seconds"] for component in components)
    found = {}
    for component in components:
        begins, ends = ends, ends + component["seconds"]
        peak = memory.peak(begins, ends) / 2**20
        found[component["id"]] = {"seconds": round(component["seconds"], 1), "peak_mib": round(peak)}
        print(f"  {component['id']:<20} {component['seconds']:8.1f} s {peak:8,.0f} MiB", flush=True)
    size = {"rows": rows, "seconds": round(seconds, 1), "peak_mib": round(memory.peak() / 2**20)}
    if "approximate" in record:
        size["index"] = record["approximate"]["seconds"]
        print(f"  {'index, of Trainer':<20} {size['index']:8.1f} s", flush=True)
    return size | {"components": found}


class _Memory:
    """The memory of the largest process of a tree, sampled in a thread until `end`."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._samples: list[tuple[float, int]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stops sampling."""
        self._ended.set()
        self._thread.join()

    def peak(self, begins: float = 0.0, ends: float = float("inf")) -> int:
        """Returns the peak in bytes between two times of the monotonic clock."""
        return max((held for when, held in self._samples if begins <= when <= ends), default=0)

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            with contextlib.suppress(psutil.NoSuchProcess):
                processes = [self._process, *self._process.children(recursive=True)]
                self._samples.append((time.monotonic(), max(process.memory_info().rss for process in processes)))


def _slope(rows: list[int], seconds: list[float]) -> float:
    return float(np.polyfit(np.log(rows), np.log(seconds), 1)[0])


if __name__ == "__main__":
    main()
