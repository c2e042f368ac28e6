"""Seconds and peak memory of Transform on millions of entities, as pairs and entities grow proportionally.

    python -m benchmarks.vocabulary [--rows 1000000 3000000] [--entities-per-row 0.3]

Each size runs in a separate process. It is ingested, then transformed with `encode.min_count: 2` and an
`encode.max_vocabulary` of a third of the entities of a side. `exponent` is the growth exponent of seconds from the
smallest to the largest size. 1 is linear.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import tempfile
import time
from pathlib import Path

from benchmarks.harness import measured_run
from benchmarks.synthetic import Planted, write_csv


def main() -> None:
    """Measures every size. With `--data`, performs a single measured run."""
    arguments = _arguments()
    if arguments.data:
        print(json.dumps(_run(Path(arguments.data), arguments.most)))
        return
    found = {rows: _measure(rows, arguments) for rows in sorted(arguments.rows)}
    for rows, run in found.items():
        print(f"{rows:,} pairs: " + ", ".join(f"{name} {value:,.4g}" for name, value in run.items()))
    (first, least), *_, (last, most) = [*found.items()] * (1 if len(found) > 1 else 2)
    growth = math.log(most["seconds"] / least["seconds"]) / math.log(last / first) if last > first else None
    result = {"benchmark": "vocabulary", "exponent": growth and round(growth, 2), "seconds": round(most["seconds"], 1)}
    print(json.dumps(result | {"unit": "s", "peak_mb": round(most["peak_mb"]), "n": last, "vocabulary": most["left"]}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vocabulary", description=str(__doc__).splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 3_000_000])
    parser.add_argument("--entities-per-row", type=float, default=0.3, help="number of entities of both sides per row")
    parser.add_argument("--cache", default="build/bench", help="directory of generated files")
    parser.add_argument("--data", help=argparse.SUPPRESS)
    parser.add_argument("--most", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(rows: int, arguments: argparse.Namespace) -> dict[str, float]:
    entities = round(rows * arguments.entities_per_row / 2)
    folder = Path(arguments.cache) / f"vocabulary-{rows}-{entities}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "pairs.csv").exists():
        # A flat distribution, so that nearly every entity occurs.
        write_csv(Planted(rows, entities, entities, dimension=2, exponent=0.3), folder / "pairs.csv")
    return measured_run("vocabulary", "--data", str(folder), "--most", str(entities // 3))


def _run(data: Path, most: int) -> dict[str, float]:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow_transform as tft
    from tfx.orchestration import metadata

    from compat.apache_beam import remember_inspections
    from pipeline.config import PipelineConfig
    from pipeline.records.root import Root
    from pipeline.running import graph, node_runner

    encode = {"min_count": 2, "max_vocabulary": most, "oov_buckets": 1000, "oov_hashes": 2}
    config = PipelineConfig.model_validate({"name": "bench", "data": {"path": str(data)}, "encode": encode})
    with tempfile.TemporaryDirectory() as folder:
        root = Root(Path(folder))
        remember_inspections()
        compiled = graph.compile_graph(graph.create_pipeline(config, root), "run")
        runner = node_runner.NodeRunner(compiled, metadata.sqlite_metadata_connection_config(str(root.metadata)))
        for entry in compiled.nodes:
            node_id = entry.pipeline_node.node_info.id
            before, started = _peak(), time.monotonic()
            done = runner.run(entry.pipeline_node)
            if node_id == "Transform":
                break
        seconds = time.monotonic() - started
        transform = tft.TFTransformOutput(done.uri("transform_graph"))
        left = transform.vocabulary_size_by_name("left")
    return {"seconds": round(seconds, 2), "peak_mb": _peak(), "peak_before_mb": before, "left": left}


def _peak() -> float:
    """Returns the peak memory of this process in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
