"""A complete run from CSV to a published model, compared with stock TFX, a bare script, and the least work.

    python -m benchmarks.pipeline [--rows 1000000] [--entities E] [--epochs 3] [--runs 3] [--only ours floor]

Planted pairs, d = 32, batches of 4096. Runs are interleaved. Each is measured from process start to exit, in its own
root. The others are `benchmarks.stock_pipeline` and `benchmarks.bare_script`. Ours does more than these: it
quarantines, validates, measures ten slices with intervals, ranks, tests the model in a real server, and writes a
report. It builds no index of approximate rankings, which the default builds for 100,000 ids or more.

The kind `floor` is `benchmarks.floor`. Its seconds are those of its steps and of one epoch, whatever `--epochs` says.
They exclude imports and tracing. `to_floor` in the result is the time of ours divided by that of `floor`. For a run
that trains one epoch, pass `--epochs 1`. For the data of `benchmarks.scale` with ten million pairs, pass `--rows
10000000 --entities 500000`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import BATCH, DIMENSION, measured_run, pairs_of, pipeline_file

_KINDS = ("ours", "script", "stock", "floor")
_NAMES = {"ours": "ours", "stock": "theirs", "script": "script", "floor": "floor"}
_RATIOS = {"ratio": ("stock", "ours"), "to_script": ("ours", "script"), "to_floor": ("ours", "floor")}

# Seconds of a whole run, and of each of its nodes or steps.
_Run = tuple[float, dict[str, float]]
_NODE = re.compile(r"^\s*([A-Z]\w+)\s+(?:executed\s+)?([0-9.]+)(?: s\b.*)?$", re.MULTILINE)


def main() -> None:
    """Measures. Prints a line per run and a table of nodes."""
    arguments = _arguments()
    data = pairs_of(Path(arguments.cache), arguments.rows, arguments.entities)
    found: dict[str, list[_Run]] = {kind: [] for kind in _KINDS}
    for number in range(arguments.runs):
        for kind in _KINDS:
            if kind not in arguments.only:
                continue
            found[kind].append(_floor(arguments) if kind == "floor" else _run(kind, data, arguments.epochs))
            print(f"run {number + 1}: {kind}: {found[kind][-1][0]:.1f} s", flush=True)
    for kind in ("ours", "stock", "floor"):
        _show_nodes(kind, [nodes for _, nodes in found[kind]])
    print(json.dumps(_result(found, arguments)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=str(__doc__).splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--entities", type=int, help="entities of each side (default: 50,000 left, 20,000 right)")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of each run (default: 3)")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=_KINDS, default=_KINDS)
    parser.add_argument("--cache", default="build/bench", help="directory of generated files")
    return parser.parse_args()


def _run(kind: str, data: Path, epochs: int) -> _Run:
    """Returns the seconds of the process and of each node.

    Raises:
      SystemExit: the run failed. The message has the end of its output.
    """
    sizes = ["--epochs", str(epochs), "--dimension", str(DIMENSION), "--batch-size", str(BATCH)]
    with tempfile.TemporaryDirectory() as folder:
        root, config = f"{folder}/root", Path(folder, "pipeline.yaml")
        Path(root).mkdir()
        config.write_text(pipeline_file(data, epochs))
        commands = {
            "ours": [str(Path(sys.executable).with_name("kindred")), "run", "--config", str(config), "--root", root],
            "stock": [sys.executable, "-m", "benchmarks.stock_pipeline", str(data), root, *sizes],
            "script": [sys.executable, "-m", "benchmarks.bare_script", str(data), f"{root}/model", *sizes],
        }
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        since = time.monotonic()
        finished = subprocess.run(commands[kind], capture_output=True, text=True, check=False, env=environment)
        seconds = time.monotonic() - since
    if finished.returncode:
        sys.exit(f"{kind} failed with exit code {finished.returncode}:\n{(finished.stdout + finished.stderr)[-4000:]}")
    nodes = {node: float(duration) for node, duration in _NODE.findall(finished.stdout + finished.stderr)}
    return seconds, nodes


def _floor(arguments: argparse.Namespace) -> _Run:
    """Returns the seconds of all steps and an epoch, and of each step."""
    sizes = ["--rows", str(arguments.rows), "--dimension", str(DIMENSION), "--batch-size", str(BATCH)]
    if arguments.entities is not None:
        sizes += ["--entities", str(arguments.entities)]
    run = measured_run("floor", "--cache", arguments.cache, *sizes)
    return run["floor"] + run["epoch"], run["steps"] | {"epoch": run["epoch"]}


def _show_nodes(kind: str, runs: list[dict[str, float]]) -> None:
    for node in runs[0] if runs else ():
        print(f"  {kind}: {node:<20} {statistics.median(run[node] for run in runs):8.3f} s")


def _result(found: dict[str, list[_Run]], arguments: argparse.Namespace) -> dict[str, Any]:
    medians = {kind: statistics.median(seconds for seconds, _ in runs) for kind, runs in found.items() if runs}
    result: dict[str, Any] = {"benchmark": "pipeline"}
    for name, (above, below) in _RATIOS.items():
        if {above, below} <= medians.keys():
            result[name] = round(medians[above] / medians[below], 2)
    result |= {_NAMES[kind]: round(seconds, 2) for kind, seconds in medians.items()}
    return result | {"unit": "s", "n": arguments.rows, "epochs": arguments.epochs, "runs": arguments.runs}


if __name__ == "__main__":
    main()
