"""Startup of a run: its imports with compat.process, compared with plain imports.

    python -m benchmarks.startup [--runs 5]

Each run is a separate process, measured from start to exit: seconds, number of modules, and memory at the end. The
first run of each kind fills the file cache and is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

_REPORT = """
import json, psutil, sys
print(json.dumps({"modules": len(sys.modules), "mib": round(psutil.Process().memory_info().rss / 2**20)}))
"""
_KINDS = {
    "ours": "from compat.process import prepare\nprepare()\nfrom pipeline.running import orchestrator",
    "theirs": "from pipeline.running import orchestrator",
}


def main() -> None:
    """Measures. Prints a line per run."""
    arguments = _arguments()
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in _KINDS}
    for number in range(arguments.runs + 1):
        for kind, script in _KINDS.items():
            run = _run(script)
            if number:
                found[kind].append(run)
                print(
                    f"run {number}: {kind}: {run['seconds']:.2f} s, {run['modules']:,} modules, {run['mib']:,} MiB",
                    flush=True,
                )
    ours, theirs = ({key: statistics.median(run[key] for run in runs) for key in runs[0]} for runs in found.values())
    result = {"benchmark": "startup", "ratio": round(theirs["seconds"] / ours["seconds"], 2)}
    result |= {"ours": round(ours["seconds"], 2), "theirs": round(theirs["seconds"], 2), "unit": "s"}
    result |= {"modules": [ours["modules"], theirs["modules"]], "mib": [ours["mib"], theirs["mib"]]}
    print(json.dumps(result | {"n": 1, "runs": arguments.runs}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=str(__doc__).splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    return parser.parse_args()


def _run(script: str) -> dict[str, float]:
    since = time.monotonic()
    finished = subprocess.run(
        [sys.executable, "-c", script + _REPORT],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    return {"seconds": time.monotonic() - since, **json.loads(finished.stdout.splitlines()[-1])}


if __name__ == "__main__":
    main()
