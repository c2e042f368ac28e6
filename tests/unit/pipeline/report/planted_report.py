"""A complete run for reports, with planted artifacts, without TFX and training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from components.evaluator.evaluation import WORST_FILE, Evaluation, write_evaluation
from components.evaluator.figures import BIASES, LAST_BLESSED, MEAN, POPULARITY, Comparison, Figure
from components.evaluator.rules import RuleResult
from components.pair_example_gen.rows import QUARANTINE
from components.pair_statistics import distribution
from components.pair_statistics.distribution import COUNTS, Distribution
from pipeline.config import PipelineConfig
from pipeline.records.executions import Artifact, Execution
from pipeline.records.run_folder import RunFolder
from pipeline.report.sources import Run
from trainer.export.tables import Side, Tables

# Ids that would become markup, script, a template or the end of a text without escaping.
HOSTILE = [
    b"</script><script>window.hacked=1</script>",
    b'"><img src=x onerror="window.hacked=1">',
    b"'-window.hacked=1-'",
    b"<!--<script>window.hacked=1//",
    b"{{7*7}}{% raw %}",
    b"]]>&lt;&amp;amp;",
    "\u202egnp.exe".encode(),
    "line\u2028end\u2029\n\t\x00".encode(),
    b"\xff\xfe not text",
    "naïve 語 🐙".encode(),
    b"x" * 1024,
]
DIMENSION = 6


def run_with(folder: Path, left: list[bytes], right: list[bytes], **summary: Any) -> Run:
    """A published run below `folder` with these entities, the most frequent one of each side first."""
    splits = {"train": _distribution(left, right, 9), "eval": _distribution(left, right, 1)}
    nodes = {
        "PairExampleGen": _node(folder, "PairExampleGen", "examples", "quarantine"),
        "StatisticsGen": _node(folder, "StatisticsGen", "statistics"),
        "Trainer": _node(folder, "Trainer", "model", "model_run"),
        "Evaluator": _node(folder, "Evaluator", "evaluation"),
        "ServingCanary": _node(folder, "ServingCanary", "blessing"),
    }
    at = {node: {key: Path(a.uri) for key, (a,) in e.outputs.items()} for node, e in nodes.items()}
    for name, split in splits.items():
        distribution.write(split, str(at["StatisticsGen"]["statistics"] / "distributions" / name))
    _write_inputs(at["PairExampleGen"], left[0])
    history = {
        "loss": [0.9, 0.5, 0.4],
        "rmse": [0.9, 0.7, 0.6],
        "val_loss": [0.8, 0.6, 0.7],
        "val_rmse": [0.9, 0.8, 0.85],
    }
    (at["Trainer"]["model_run"] / "history.json").write_text(json.dumps(history))
    write_evaluation(verdict(), str(at["Evaluator"]["evaluation"]))
    _write_worst(at["Evaluator"]["evaluation"], left, right)
    tested = {
        "binary": "kindred-model-server",
        "tested": ["score"],
        "latency_ms": {"p50": 1.0, "p99": 2.0, "requests": 9},
    }
    (at["ServingCanary"]["blessing"] / "canary.json").write_text(json.dumps(tested))
    run = Run(_summary(splits) | summary, RunFolder(folder / "runs" / "run"), None, nodes)
    vars(run)["tables"] = tables(left, right)
    return run


def empty_run(folder: Path, **summary: Any) -> Run:
    """A run that ended before any work, or with the state in `summary`."""
    none = {"data": {}, "metrics": {}, "blessing": [], "components": [], "status": "failed", "published": None}
    return Run(_summary({}) | none | summary, RunFolder(folder / "runs" / "run"), None, {})


def tuned_run(folder: Path, chosen: int = 1) -> Run:
    """A search with three trials: a better one, the current settings (0), and one without a result."""
    trial = {"trial": 1, "score": 0.25, "settings": {"train.learning_rate": 0.01}, "epochs": 3, "seconds": 1.0}
    trial |= {"difference": -0.1, "interval": [-0.15, -0.05], "better": True}
    current = {"trial": 0, "score": 0.35, "settings": {"train.learning_rate": 0.5}, "epochs": 3, "seconds": 1.0}
    failed = {"trial": 2, "score": None, "settings": {}, "epochs": 0, "seconds": 0.1, "fault": "the loss became nan"}
    tuning = {"measure": "rmse", "rising": False, "asked": 2, "held_out": 1234, "current": 0, "chosen": chosen}
    tuning |= {"values": {}, "trials": [trial, current, failed]}
    config = empty_run(folder).config | {"tune": {"trials": 2}}
    return empty_run(folder, status="tuned", tuning=tuning, config=config)


def tables(left: list[bytes], right: list[bytes]) -> Tables:
    """A model with a row for unknown ids at the end of each side."""
    draw = np.random.default_rng(1)

    def side(ids: list[bytes]) -> Side:
        vectors = draw.normal(size=(len(ids) + 1, DIMENSION)).astype(np.float32)
        return Side(pa.array(ids, pa.binary()), vectors, draw.normal(size=len(ids) + 1).astype(np.float32))

    return Tables(side(left), side(right), 0.5)


def verdict() -> Evaluation:
    """Score and ranking figures with slices, one passing and one failing rule."""
    others = {MEAN: Comparison(1.0, -0.6, -0.4), BIASES: Comparison(0.7), LAST_BLESSED: Comparison(0.55, -0.1, 0.02)}
    ranked = {POPULARITY: Comparison(0.2, 0.2, 0.4)}
    figures = [
        Figure("rmse", "", 200, 0.5, 0.45, 0.55, others),
        Figure("auc", "", 200, 0.9, others={MEAN: Comparison(0.5)}),
        Figure("rmse", "left_head", 150, 0.4, others=others),
        Figure("rmse", "left_tail", 50, 0.8, others=others),
        Figure("rmse", "unknown", 0, None),
        Figure("recall@10", "", 40, 0.5, 0.4, 0.6, ranked),
        Figure("recall@10", "left_tail", 40, 0.3, 0.2, 0.4, ranked),
    ]
    rules = [
        RuleResult("rmse better than constant-mean baseline", 0.5, 1.0, True, (0.45, 0.55), (-0.6, -0.4)),
        RuleResult("recall@10 above 0.9", 0.5, 0.9, False, (0.4, 0.6), (None, None)),
    ]
    cuts = {"left": {"head": 90, "middle": 10}, "right": {"head": 80, "middle": 8}}
    ranking = {"left_entities": 40, "relevant_pairs": 90, "catalogue": 30}
    return Evaluation(figures, rules, {"default_rules": False, "cuts": cuts, "ranking": ranking})


def _distribution(left: list[bytes], right: list[bytes], weight: int) -> Distribution:
    def counts(ids: list[bytes]) -> pa.Table:
        return pa.table({"id": ids, "count": [weight * (len(ids) - i) for i in range(len(ids))]}, schema=COUNTS)

    scores = np.sort(np.random.default_rng(weight).normal(size=500)).astype(np.float32)
    return Distribution(counts(left), counts(right), scores)


def _node(folder: Path, node_id: str, *keys: str) -> Execution:
    outputs = {}
    for number, key in enumerate(keys):
        place = folder / "pipeline" / node_id / key / "1"
        place.mkdir(parents=True)
        outputs[key] = [Artifact(number, str(place), {})]
    return Execution(1, "run", node_id, False, {}, {}, outputs)


def _write_inputs(at: dict[str, Path], raw: bytes) -> None:
    files = [{"path": "/data/<pairs>.csv", "bytes": 12345, "digest": "sha256:" + "ab" * 32}]
    (at["examples"] / "inputs.json").write_text(json.dumps(files))
    row = {"file": "<b>.csv", "line": 7, "row_group": None, "row": None, "reason": "score is <no> number", "raw": raw}
    pa.parquet.write_table(pa.Table.from_pylist([row], QUARANTINE), at["quarantine"] / "quarantine-0.parquet")


def _write_worst(evaluation: Path, left: list[bytes], right: list[bytes]) -> None:
    count = min(len(left), len(right))
    figures = {"label": [1.0] * count, "value": [3.0] * count, "error": [2.0] * count}
    seen = {"left_pairs": [1] * count, "right_pairs": [2] * count}
    ids = {"left_id": pa.array(left[:count], pa.binary()), "right_id": pa.array(right[:count], pa.binary())}
    pa.parquet.write_table(pa.table({**ids, **figures, **seen}), evaluation / WORST_FILE)


def _summary(splits: dict[str, Distribution]) -> dict[str, Any]:
    config = PipelineConfig.model_validate({"name": "films", "data": {"path": "/data/<pairs>.csv"}})
    rows = {name: split.rows for name, split in splits.items()}
    return {
        "pipeline": config.name,
        "run_id": "run",
        "config": config.to_json(),
        "status": "published",
        "started": "2026-11-25T22:07:01+00:00",
        "seconds": 83.2,
        "components": [
            {"id": "PairExampleGen", "state": "executed", "seconds": 1.2},
            {"id": "Trainer", "state": "cached", "seconds": 0.1},
            {"id": "Pusher", "state": "skipped", "seconds": 0.0},
        ],
        "data": {
            "rows": sum(rows.values()) + 1,
            "quarantined": 1,
            "splits": rows,
            "checks": [{"rule": "validate.min_rows", "value": 90.0, "bound": 10.0, "ok": True}],
            "compared_with_last_accepted": False,
            "left_entities": 3,
            "right_entities": 4,
        },
        "metrics": {"rmse": 0.5},
        "blessing": [{"rule": "rmse below 1", "value": 0.5, "bound": 1.0, "ok": True}],
        "blessed": True,
        "published": "serving/1",
        "versions": {"python": "3.11", "kindred": "0.1.0"},
    }
