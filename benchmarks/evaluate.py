"""The Evaluator compared with that of TFX, and ranking compared with a NumPy loop over users.

    python -m benchmarks.evaluate [--rows 2000000] [--runs 3] [--only evaluator|ranking]

The first part evaluates half of `--rows` planted pairs. A pipeline creates the examples and the model once. Then the
executors run in separate processes, interleaved, without the time of imports. Ours computes all its metrics, slices,
baselines and intervals. The stock Evaluator computes a mean squared error on one slice. It reads tf.Examples, because
the default signature of the model does. They are written before its time starts.

The second part ranks a catalogue of the size of MovieLens 1M (6,040 x 3,706, d=64, one million seen pairs) with
recall@10, ndcg@10, hit rate, MRR, MAP and coverage. The loop computes the same metrics, once with a full sort of the
scores of each user and once with `argpartition`. All results must agree.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from benchmarks.harness import measured_run, pairs_of
from compat.process import prepare
from trainer.ranking import ranking_metrics
from trainer.ranking.lists import Lists
from trainer.ranking.ranks import rank_catalogue

if TYPE_CHECKING:
    from tfx.types import artifact

_DEPTH = 10
_METRICS = tuple(f"{name}@{_DEPTH}" for name in ("recall", "ndcg", "hit_rate", "mrr", "map"))
# After a matrix product, its threads spin this long, in seconds, and would occupy a core of the next measurement.
_PAUSE = 0.3
_SHARD_ROWS = 1_000_000
_USERS, _ITEMS, _DIMENSION, _SEEN, _HELD_OUT = 6040, 3706, 64, 900_000, 100_000


def main() -> None:
    """Measures both parts. With `--component`, performs a single measured run."""
    arguments = _arguments()
    if arguments.component:
        print(json.dumps({"seconds": _run_component(arguments.component, Path(arguments.root))}))
        return
    result: dict[str, Any] = {"benchmark": "evaluate", "unit": "s", "n": arguments.rows // 2, "runs": arguments.runs}
    if arguments.only != "ranking":
        result |= _evaluators(arguments)
    if arguments.only != "evaluator":
        result["ranking"] = _rankings(arguments.runs)
    print(json.dumps(result))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluate", description=str(__doc__).splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=("evaluator", "ranking"))
    parser.add_argument("--cache", default="build/bench", help="directory of generated files")
    parser.add_argument("--component", help=argparse.SUPPRESS)
    parser.add_argument("--root", help=argparse.SUPPRESS)
    return parser.parse_args()


def _evaluators(arguments: argparse.Namespace) -> dict[str, Any]:
    root = _trained(Path(arguments.cache), arguments.rows)
    found: dict[str, list[float]] = {"ours": [], "theirs": []}
    for number in range(arguments.runs):
        for component, seconds in found.items():
            seconds.append(measured_run("evaluate", "--component", component, "--root", str(root))["seconds"])
            print(f"run {number + 1}: {component}: {seconds[-1]:.1f} s", flush=True)
    ours, theirs = (statistics.median(found[name]) for name in ("ours", "theirs"))
    return {"ratio": round(theirs / ours, 2), "ours": ours, "theirs": theirs}


def _trained(cache: Path, rows: int) -> Path:
    """Returns a root with examples and a model. A run in an old root reuses the components that are current."""
    data, root = pairs_of(cache, rows), cache / f"evaluate-{rows}"
    config = cache / "evaluate.yaml"
    config.write_text(f"name: evaluate\ndata: {{path: {data.resolve()}, split: {{eval_fraction: 0.5}}}}\n")
    kindred = str(Path(sys.executable).with_name("kindred"))
    settings = ("model.dimension=32", "train.epochs=1", "train.early_stopping=null", "validate.max_score_skew=null")
    overrides = [part for setting in settings for part in ("--set", setting)]
    command = [kindred, "run", "--config", str(config), "--root", str(root), *overrides]
    subprocess.run([*command, "--set", "evaluate.bless=[{metric: rmse, above: 0}]"], check=True)
    return root


def _run_component(component: str, root: Path) -> float:
    """Returns the seconds of an executor on the artifacts in `root`."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if component == "ours":
        prepare()  # as every command of the product does
    from tfx.types import standard_artifacts

    def last(kind: type[artifact.Artifact], *parts: str) -> list[artifact.Artifact]:
        found = kind()
        found.uri = str(max((root / "pipeline").joinpath(*parts).iterdir(), key=lambda path: int(path.name)))
        return [found]

    examples = last(standard_artifacts.Examples, "PairExampleGen", "examples")
    examples[0].split_names = '["train", "eval"]'
    inputs = {"examples": examples, "model": last(standard_artifacts.Model, "Trainer", "model")}
    run = _ours if component == "ours" else _theirs
    with tempfile.TemporaryDirectory() as folder:
        outputs = {}
        for name, kind in (
            ("evaluation", standard_artifacts.ModelEvaluation),
            ("blessing", standard_artifacts.ModelBlessing),
        ):
            made = kind()
            made.uri = str(Path(folder, name))
            Path(made.uri).mkdir()
            outputs[name] = [made]
        inputs["transform_graph"] = last(standard_artifacts.TransformGraph, "Transform", "transform_graph")
        return run(inputs, outputs)


def _ours(inputs: dict[str, Any], outputs: dict[str, Any]) -> float:
    from components.evaluator.executor import Executor
    from components.evaluator.rules import Rule
    from components.evaluator.settings import EvaluationSettings
    from components.evaluator.slices import SLICES

    settings = EvaluationSettings(
        rules=(Rule(metric="rmse", better_than="baseline"), Rule(metric="auc", better_than="biases")),
        are_defaults=False,
        scored=True,
        slices=SLICES,
    )
    return _timed(lambda: Executor().Do(inputs, outputs, {"settings": settings.model_dump_json()}))


def _theirs(inputs: dict[str, Any], outputs: dict[str, Any]) -> float:
    from tensorflow_model_analysis.proto import config_pb2
    from tfx.components.evaluator.executor import Executor
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.utils import proto_utils

    from pipeline.beam import profiles
    from pipeline.config.sections.beam import Beam

    config = config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(signature_name="serving_default", label_key="score")],
        slicing_specs=[config_pb2.SlicingSpec()],
        metrics_specs=[config_pb2.MetricsSpec(metrics=[config_pb2.MetricConfig(class_name="MeanSquaredError")])],
    )
    properties = {"eval_config": proto_utils.proto_to_json(config), "example_splits": '["eval"]'}
    executor = Executor(BaseBeamExecutor.Context(beam_pipeline_args=profiles.options(Beam())))
    with tempfile.TemporaryDirectory() as folder:
        given = {"examples": [_tf_examples(inputs["examples"][0], Path(folder))], "model": inputs["model"]}
        return _timed(lambda: executor.Do(given, outputs, properties))


def _tf_examples(examples: artifact.Artifact, folder: Path) -> artifact.Artifact:
    """Returns the eval split as tf.Examples."""
    from benchmarks import stock

    files = sorted(Path(examples.uri, "Split-eval").iterdir())
    batches = (batch for file in files for batch in pa.parquet.ParquetFile(file).iter_batches(_SHARD_ROWS))
    stock.write_examples(batches, folder / "Split-eval")
    made = type(examples)()
    made.uri, made.split_names = str(folder), '["eval"]'
    return made


def _rankings(runs: int) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    users, items = (draw.standard_normal((count, _DIMENSION)).astype("f") for count in (_USERS, _ITEMS))
    seen, relevant = (
        Lists.of_pairs(draw.integers(0, _USERS, count), draw.integers(0, _ITEMS, count), _USERS)
        for count in (_SEEN, _HELD_OUT)
    )

    def ours() -> list[float]:
        found = rank_catalogue(users, items, relevant, seen, _DEPTH)
        values = [float(ranking_metrics.per_query(found, metric).mean()) for metric in _METRICS]
        return [*values, ranking_metrics.coverage(found)]

    wanted = relevant.without(seen)
    scores = np.zeros((_USERS, _ITEMS), np.float32)
    ways: dict[str, Callable[[], Any]] = {
        "ours": ours,
        "sort": lambda: _loop(users, items, wanted, seen, _sorted_top),
        "argpartition": lambda: _loop(users, items, wanted, seen, _partitioned_top),
        "product": lambda: np.matmul(users, items.T, out=scores),
    }
    np.testing.assert_allclose(ours(), ways["sort"](), atol=1e-4)  # another order of summation may swap equal scores
    np.testing.assert_allclose(ours(), ways["argpartition"](), atol=1e-4)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, work in ways.items():
            time.sleep(_PAUSE)
            seconds[name].append(_timed(work))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "ratio": round(medians["sort"] / medians["ours"], 1),
        "ratio_to_argpartition": round(medians["argpartition"] / medians["ours"], 1),
        "fraction_of_matrix_throughput": round(medians["product"] / medians["ours"], 3),
        **{name: round(value, 4) for name, value in medians.items()},
    }


def _loop(
    users: np.ndarray, items: np.ndarray, relevant: Lists, seen: Lists, top: Callable[..., np.ndarray]
) -> list[float]:
    """Computes the metrics one user at a time."""
    places = np.arange(1, _DEPTH + 1)
    discounts = 1 / np.log2(places + 1)
    shown = np.zeros(len(items), bool)
    found = []
    for user in range(len(users)):
        scores = items @ users[user]
        scores[seen.rows[seen.offsets[user] : seen.offsets[user + 1]]] = -np.inf
        wanted = relevant.rows[relevant.offsets[user] : relevant.offsets[user + 1]]
        listed = top(scores)
        shown[listed] = True
        if len(wanted):
            hits = np.isin(listed, wanted)
            found.append(
                (
                    hits.sum() / len(wanted),
                    (hits * discounts).sum() / discounts[: len(wanted)].sum(),
                    hits.any(),
                    (hits / places).max(),
                    (hits * hits.cumsum() / places).sum() / len(wanted),
                )
            )
    return [*np.mean(np.asarray(found, float), axis=0).tolist(), float(shown.mean())]


def _sorted_top(scores: np.ndarray) -> np.ndarray:
    return np.argsort(-scores)[:_DEPTH]


def _partitioned_top(scores: np.ndarray) -> np.ndarray:
    top = np.argpartition(-scores, _DEPTH)[:_DEPTH]
    return np.asarray(top[np.argsort(-scores[top])])


def _timed(work: Callable[[], object]) -> float:
    since = time.perf_counter()
    work()
    return time.perf_counter() - since


if __name__ == "__main__":
    main()
