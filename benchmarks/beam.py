"""Seconds of the Beam components by profile, and whether the results are equal.

    python -m benchmarks.beam [--rows 1000000] [--kinds local flink] [--runs 1] [--whole]

The kinds are `local`, `processes` (profile local with beam.direct_workers 2) and `flink` (needs the cluster of `make
flink-up`). The pairs are planted, and each run has its own root. With `--whole`, each run also trains (3 epochs),
evaluates and publishes the model, and the metrics are compared. The ratio is the time of the second kind divided by
that of the first.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import measured_run, pairs_of

_NODES = ("PairExampleGen", "StatisticsGen", "Transform")
_KINDS = {
    "local": (),
    "processes": ("beam.direct_workers=2",),
    "flink": ("beam.profile=flink",),
}


def main() -> None:
    """Measures all kinds. With `--kind`, performs a single measured run."""
    arguments = _arguments()
    if arguments.kind:
        print(json.dumps(_run(arguments.kind, Path(arguments.data), arguments.whole)))
        return
    data = pairs_of(Path(arguments.cache), arguments.rows)
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in arguments.kinds}
    for number in range(arguments.runs):
        for kind in arguments.kinds:
            whole = ["--whole"] if arguments.whole else []
            found[kind].append(measured_run("beam", "--kind", kind, "--data", str(data), *whole))
            print(f"run {number + 1}: {kind}: {_summary(found[kind][-1])}", flush=True)
    print(json.dumps(_result(found, arguments.rows, arguments.runs)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beam", description=str(__doc__).splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--kinds", nargs=2, choices=_KINDS, default=("local", "flink"))
    parser.add_argument("--whole", action="store_true", help="also train and evaluate")
    parser.add_argument("--cache", default="build/bench", help="directory of generated files")
    parser.add_argument("--kind", choices=_KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(kind: str, data: Path, whole: bool) -> dict[str, Any]:
    """Returns seconds by node, digests of the results, and the metrics of the model."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    from pipeline.beam.engine import check_engine
    from pipeline.config import load_config
    from pipeline.records.root import Root
    from pipeline.running import local
    from pipeline.running.options import RunOptions

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pipeline.yaml")
        file.write_text(json.dumps(_PIPELINE | {"data": {"path": str(data.absolute())}}))
        config = load_config(file, _KINDS[kind])
        check_engine(config.beam)
        outcome = local.run(
            config, Root(Path(folder, "root")), RunOptions(until=None if whole else _NODES[-1]), lambda folder: None
        )
        if outcome.exit_code:
            sys.exit(outcome.record.error or "the run was refused")
        seconds = {entry["id"]: entry["seconds"] for entry in outcome.record.components}
        nodes = {node: seconds[node] for node in _NODES}
        return {"seconds": nodes, "results": _digests(folder), "metrics": outcome.record.metrics}


_PIPELINE = {
    "name": "bench",
    "model": {"dimension": 32},
    "train": {"epochs": 3, "batch_size": 4096},
    "evaluate": {"bless": [{"metric": "rmse", "above": 0}]},
}


def _digests(folder: str) -> dict[str, str]:
    """Returns a digest of the results of each component that ignores the order of rows and features."""
    artifacts = Path(folder, "root", "pipeline")
    statistics_files = artifacts.glob("StatisticsGen/statistics/*/*/*")
    vocabularies = artifacts.glob("Transform/transform_graph/*/transform_fn/assets/*")
    return {
        "examples": _rows(artifacts),
        "ids": _digest([path.read_bytes() for path in sorted(artifacts.glob("PairExampleGen/examples/*/entities/*"))]),
        "statistics": _digest(sorted(path.read_bytes() for path in statistics_files if path.is_file())),
        "vocabulary": _digest([path.read_bytes() for path in sorted(vocabularies)]),
    }


def _rows(artifacts: Path) -> str:
    """Returns the number of rows and the sum of their hashes, which needs no sorting."""
    import numpy as np
    import pyarrow as pa
    import tensorflow as tf

    from trainer.data.examples import SPLITS, Examples

    (uri,) = artifacts.glob("PairExampleGen/examples/*")
    examples = Examples(str(uri))
    total, count = np.uint64(0), 0
    for split in SPLITS:
        for rows in examples.blocks(split):
            coded = ((examples.left, rows.left), (examples.right, rows.right))
            ids = [side.ids.take(pa.array(codes)).to_numpy(zero_copy_only=False) for side, codes in coded]
            key = tf.strings.join([*map(tf.constant, ids), tf.as_string(rows.score), split], "\0")
            hashed = tf.strings.to_hash_bucket_fast(key, 2**63 - 1).numpy().astype(np.uint64)
            with np.errstate(over="ignore"):
                total = total + hashed.sum(dtype=np.uint64)
            count += len(rows)
    return f"{count}-{int(total):016x}"


def _digest(parts: list[bytes]) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()[:16]


def _result(found: dict[str, list[dict[str, Any]]], rows: int, runs: int) -> dict[str, Any]:
    first, second = found
    medians = {kind: statistics.median(sum(run["seconds"].values()) for run in found[kind]) for kind in found}
    everything = [run for kind in found for run in found[kind]]
    return {
        "benchmark": "beam",
        "ratio": round(medians[second] / medians[first], 2),
        "ours": round(medians[second], 2),
        "theirs": round(medians[first], 2),
        "unit": "s",
        "n": rows,
        "runs": runs,
        "kinds": {kind: found[kind][-1]["seconds"] for kind in found},
        "same_results": all(run["results"] == everything[0]["results"] for run in everything),
        "metrics": {kind: found[kind][-1]["metrics"] for kind in found},
    }


def _summary(run: dict[str, Any]) -> str:
    nodes = ", ".join(f"{node} {seconds:.1f}" for node, seconds in run["seconds"].items())
    return f"{sum(run['seconds'].values()):.1f} s: {nodes}. Results: {run['results']}"


if __name__ == "__main__":
    main()
