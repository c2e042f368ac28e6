"""PairExampleGen compared with CsvExampleGen of TFX on the same file, in interleaved runs.

    python -m benchmarks.ingest [--rows 1000000] [--runs 1] [--large]

Each run is a separate process. It reports the seconds from the TFX launcher to the end of the component, without
imports, and the peak memory of the process, with imports. `--large` adds a run of PairExampleGen on ten times `--rows`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import measured_run, pairs_of
from compat.process import prepare

_OURS, _THEIRS = "PairExampleGen", "CsvExampleGen"
_LIMIT_MIB = 2048


def main() -> None:
    """Measures both components. With `--component`, performs a single measured run."""
    arguments = _arguments()
    if arguments.component:
        print(json.dumps(_run_component(arguments.component, Path(arguments.data))))
        return
    cache = Path(arguments.cache)
    small = pairs_of(cache, arguments.rows)
    found: dict[str, list[dict[str, float]]] = {_OURS: [], _THEIRS: []}
    for number in range(arguments.runs):
        for component in (_OURS, _THEIRS):
            found[component].append(_measure(component, small))
            print(f"run {number + 1}: {component}: {_summary(found[component][-1])}", flush=True)
    result = _result(found, arguments.rows, arguments.runs)
    if arguments.large:
        large = _measure(_OURS, pairs_of(cache, 10 * arguments.rows))
        print(f"large: {10 * arguments.rows:,} rows: {_summary(large)} (limit {_LIMIT_MIB:,} MiB)", flush=True)
        result["large"] = {"n": 10 * arguments.rows, **large}
    print(json.dumps(result))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=str(__doc__).splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--large", action="store_true", help="also measure the peak memory with ten times the rows")
    parser.add_argument("--cache", default="build/bench", help="directory of generated files")
    parser.add_argument("--component", help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(component: str, data: Path) -> dict[str, float]:
    return measured_run("ingest", "--component", component, "--data", str(data))


def _run_component(component: str, data: Path) -> dict[str, float]:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if component == _OURS:
        prepare()  # as every command of the product does
    from tfx.components.example_gen.csv_example_gen.component import CsvExampleGen
    from tfx.orchestration import metadata
    from tfx.orchestration.local.local_dag_runner import LocalDagRunner
    from tfx.orchestration.pipeline import Pipeline

    from components.pair_example_gen.component import PairExampleGen
    from components.pair_example_gen.settings import IngestSettings
    from pipeline.beam import profiles
    from pipeline.config.sections.beam import Beam

    settings = IngestSettings(path=str(data), format="csv", max_quarantined_fraction=0.0)
    with tempfile.TemporaryDirectory() as root:
        node = PairExampleGen.of(settings) if component == _OURS else CsvExampleGen(input_base=str(data))
        graph = Pipeline(
            pipeline_name="bench",
            pipeline_root=root,
            components=[node],
            metadata_connection_config=metadata.sqlite_metadata_connection_config(
                os.path.join(root, "metadata.sqlite")
            ),
            beam_pipeline_args=profiles.options(Beam()),
        )
        # Arrow asks for pandas when it is first used. TFX has imported it by then in a run.
        importlib.import_module("pandas")
        started = time.monotonic()
        LocalDagRunner().run(graph)
        seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
    return {"seconds": round(seconds, 2), "peak_mib": round(peak)}


def _result(found: dict[str, list[dict[str, float]]], rows: int, runs: int) -> dict[str, object]:
    ours, theirs = (statistics.median(run["seconds"] for run in found[name]) for name in (_OURS, _THEIRS))
    return {
        "benchmark": "ingest",
        "ratio": round(theirs / ours, 2),
        "ours": ours,
        "theirs": theirs,
        "unit": "s",
        "n": rows,
        "runs": runs,
        "peak_mib": max(run["peak_mib"] for run in found[_OURS]),
    }


def _summary(run: dict[str, float]) -> str:
    return f"{run['seconds']:.1f} s, peak {run['peak_mib']:,.0f} MiB"


if __name__ == "__main__":
    main()
