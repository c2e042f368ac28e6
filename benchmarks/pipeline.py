"""A complete run from CSV to a published model, compared with stock TFX and with a bare script.

    python -m benchmarks.pipeline [--rows 1000000] [--runs 3] [--epochs 3]

Planted pairs, d = 32, batches of 4096. Runs are interleaved. Each is measured from process start to exit, in its own
root. The others are `benchmarks.stock_pipeline` and `benchmarks.bare_script`. Ours does more than these: it
quarantines, validates, measures ten slices with intervals, ranks, tests the model in a real server, and writes a
report.
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

from benchmarks.harness import pairs_of

_DIMENSION, _BATCH = 32, 4096
_KINDS = ("ours", "script", "stock")
_NODE = re.compile(r"^\s*([A-Z]\w+)\s+(?:executed\s+)?([0-9.]+)(?: s\b.*)?$", re.MULTILINE)


def main() -> None:
    """Measures. Prints a line per run and a table of nodes."""
    arguments = _arguments()
    cache = Path(arguments.cache)
    data = pairs_of(cache, arguments.rows)
    config = cache / "pipeline.yaml"
    config.write_text(_config(data, arguments.epochs))
    found: dict[str, list[tuple[float, dict[str, float]]]] = {kind: [] for kind in _KINDS}
    for number in range(arguments.runs):
        for kind in _KINDS:
            if kind not in arguments.only:
                continue
            found[kind].append(_run(kind, config, data, arguments.epochs))
            print(f"run {number + 1}: {kind}: {found[kind][-1][0]:.1f} s", flush=True)
    for kind in ("ours", "stock"):
        _show_nodes(kind, [nodes for _, nodes in found[kind]])
    print(json.dumps(_result(found, arguments)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=str(__doc__).splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=_KINDS, default=_KINDS)
    parser.add_argument("--cache", default="build/bench", help="directory of generated files")
    return parser.parse_args()


def _config(data: Path, epochs: int) -> str:
    return json.dumps(
        {
            "name": "pairs",
            "data": {"path": str(data.resolve()), "split": {"eval_fraction": 0.1}},
            "model": {"dimension": _DIMENSION},
            "train": {"epochs": epochs, "batch_size": _BATCH, "early_stopping": None},
        }
    )


def _run(kind: str, config: Path, data: Path, epochs: int) -> tuple[float, dict[str, float]]:
    """Returns the seconds of the process and of each node.

    Raises:
      SystemExit: the run failed. The message has the end of its output.
    """
    sizes = ["--epochs", str(epochs), "--dimension", str(_DIMENSION), "--batch-size", str(_BATCH)]
    with tempfile.TemporaryDirectory() as root:
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


def _show_nodes(kind: str, runs: list[dict[str, float]]) -> None:
    for node in runs[0] if runs else ():
        print(f"  {kind}: {node:<20} {statistics.median(run[node] for run in runs):8.1f} s")


def _result(found: dict[str, list[tuple[float, dict[str, float]]]], arguments: argparse.Namespace) -> dict[str, Any]:
    medians = {kind: statistics.median(seconds for seconds, _ in runs) for kind, runs in found.items() if runs}
    result: dict[str, Any] = {"benchmark": "pipeline"}
    if {"ours", "stock"} <= medians.keys():
        result["ratio"] = round(medians["stock"] / medians["ours"], 2)
    if {"ours", "script"} <= medians.keys():
        result["to_script"] = round(medians["ours"] / medians["script"], 2)
    names = {"ours": "ours", "stock": "theirs", "script": "script"}
    result |= {names[kind]: round(seconds, 1) for kind, seconds in medians.items()}
    return result | {"unit": "s", "n": arguments.rows, "runs": arguments.runs}


if __name__ == "__main__":
    main()
