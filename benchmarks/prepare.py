"""From a file of pairs to encoded training rows, compared with stock TFX in interleaved runs.

    python -m benchmarks.prepare [--rows 1000000] [--runs 1]

Stock: CsvExampleGen, StatisticsGen, ExampleValidator and Transform with the defaults of TFX. Ours: PairExampleGen,
PairStatisticsGen, ExampleValidator, DataGate, Transform, and the encoding of the train split, which our Trainer does
instead of reading transformed examples. Each run is a separate process. The seconds are those of the nodes, without
imports.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import measured_run, pairs_of
from compat.process import prepare

_OURS, _THEIRS = "ours", "stock"
_LAST = "Transform"


def main() -> None:
    """Measures both kinds. With `--kind`, performs a single measured run."""
    arguments = _arguments()
    if arguments.kind:
        print(json.dumps(_run(arguments.kind, Path(arguments.data))))
        return
    cache = Path(arguments.cache)
    data = pairs_of(cache, arguments.rows)
    found: dict[str, list[dict[str, float]]] = {_OURS: [], _THEIRS: []}
    for number in range(arguments.runs):
        for kind in (_OURS, _THEIRS):
            found[kind].append(_measure(kind, data))
            print(f"run {number + 1}: {kind}: {_summary(found[kind][-1])}", flush=True)
    ours, theirs = (statistics.median(sum(run.values()) for run in found[kind]) for kind in (_OURS, _THEIRS))
    result = {"benchmark": "prepare", "ratio": round(theirs / ours, 2), "ours": round(ours, 2)}
    print(json.dumps(result | {"theirs": round(theirs, 2), "unit": "s", "n": arguments.rows, "runs": arguments.runs}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prepare", description=str(__doc__).splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--cache", default="build/bench", help="directory of generated files")
    parser.add_argument("--kind", choices=(_OURS, _THEIRS), help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(kind: str, data: Path) -> dict[str, float]:
    """Returns the seconds of each node."""
    return measured_run("prepare", "--kind", kind, "--data", str(data))


def _run(kind: str, data: Path) -> dict[str, float]:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if kind == _OURS:
        prepare()  # as every command of the product does
    from tfx.orchestration import metadata

    from benchmarks import stock
    from pipeline.config import PipelineConfig
    from pipeline.records.root import Root
    from pipeline.running import graph, node_runner, run_metadata

    config = PipelineConfig.model_validate({"name": "bench", "data": {"path": str(data)}})
    with tempfile.TemporaryDirectory() as folder:
        root = Root(Path(folder))
        pipeline = graph.create_pipeline(config, root)
        if kind == _THEIRS:
            pipeline.components = stock.prepare_nodes(config, data)
        compiled = graph.compile_graph(pipeline, "run")
        theirs = metadata.Metadata(metadata.sqlite_metadata_connection_config(str(root.metadata)))
        ours = kind == _OURS
        seconds: dict[str, float] = {}
        outputs: dict[str, node_runner.NodeResult] = {}
        with run_metadata.opened(root.metadata) if ours else contextlib.nullcontext(theirs) as handle:
            runner = node_runner.NodeRunner(compiled, handle)
            for entry in compiled.nodes:
                node_id = entry.pipeline_node.node_info.id
                started = time.monotonic()
                outputs[node_id] = runner.run(entry.pipeline_node)
                seconds[node_id] = round(time.monotonic() - started, 2)
                if ours and node_id == _LAST:
                    break
        if kind == _OURS:
            seconds["encoding"] = _encode(outputs)
    return seconds


def _encode(outputs: dict[str, Any]) -> float:
    """Encodes the train split, as our Trainer does. Returns the seconds."""
    from trainer.data import dataset
    from trainer.data.examples import Examples
    from trainer.data.transform_graph import TransformGraph

    started = time.monotonic()
    transform = TransformGraph(outputs["Transform"].uri("transform_graph"))
    examples = Examples(outputs["PairExampleGen"].uri("examples"))
    dataset.load(examples, transform.transform_features_layer(), memory=1 << 40, directory="")
    return round(time.monotonic() - started, 2)


def _summary(run: dict[str, float]) -> str:
    return f"{sum(run.values()):.1f} s: " + ", ".join(f"{node} {seconds:.1f}" for node, seconds in run.items())


if __name__ == "__main__":
    main()
