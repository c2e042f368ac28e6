"""Artifacts that Kubeflow's user interface knows: the metrics, the data and the model of a run.

Their properties make run comparison and lineage work. A task writes them to its executor output, a file of JSON
(message ExecutorOutput of KFP) whose path is in the executor input. KFP's launcher reads it after the command
(getExecutorOutputFile in backend/src/v2/component/launcher_v2.go, 2.16.1). Its path depends on the root of KFP's own
artifacts (provisionOutputs in backend/src/v2/driver/driver.go), so it cannot be a constant.

The artifacts keep their places in Kubeflow's own storage, where each is a small file with the same properties. A place
below the root of the tasks is a property: the user interface could not open it. With the URL of another bucket as the
place of an artifact, the launcher fails the task (Config.KeyFromURI in backend/src/v2/objectstore/config.go).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.evaluator.evaluation import read_evaluation
from pipeline.records.root import Root
from pipeline.records.run_record import RunRecord

CLASSES, DATASET, METRICS, MODEL = "classes", "dataset", "metrics", "model"
"""The names of the outputs."""

Properties = dict[str, Any]


def dataset(record: RunRecord) -> Properties:
    """Returns the properties of the data of a run: their place, and counts of rows as far as they are known."""
    counts = {name: record.data.get(name) for name in ("rows", "quarantined", "spans")}
    counts |= {f"{split}_rows": rows for split, rows in record.data.get("splits", {}).items()}
    return _known({"location": record.config["data"]["path"], **counts})


def metrics(record: RunRecord) -> Properties:
    """Returns the metrics of a run on held-out rows. Empty if the run did not reach the evaluation."""
    return _known(record.metrics)


def classes(record: RunRecord, root: Root) -> Properties:
    """Returns the ROC curve and the confusion matrix of a run, as system.ClassificationMetrics of KFP has them.

    Empty before the evaluation, and if all labels are on one side of the center. The user interface reads these keys
    (frontend/src/components/viewers/MetricsVisualizations.tsx, 2.16.1), and shows no artifact without them.
    """
    if not record.evaluation:
        return {}
    facts = read_evaluation(str(root.path / record.evaluation)).facts
    found = facts.get("classes")
    if not found:
        return {}
    center = f"{facts['unit']['center']:.4g}"
    names = ("confidenceThreshold", "falsePositiveRate", "recall")
    return {
        "confidenceMetrics": [dict(zip(names, point, strict=True)) for point in found["roc"]],
        "confusionMatrix": {
            "annotationSpecs": [{"displayName": f"{side} {center}"} for side in ("at most", "above")],
            "rows": [{"row": row} for row in found["confusion"]],
        },
    }


def model(record: RunRecord, root: Root) -> Properties:
    """Returns the properties of the model of a run. Without a published version, there is no location."""
    published = record.published
    return _known(
        {
            "framework": "TensorFlow",
            "pipeline": record.pipeline,
            "status": record.status,
            "version": published and published.rstrip("/").rpartition("/")[2],
            "location": published and root.place_of(published),
        }
    )


def write(executor_input: str, found: Mapping[str, Properties], paths: Mapping[str, str | None]) -> None:
    """Writes artifacts, and their properties to the executor output.

    Args:
      executor_input: the JSON that Kubeflow puts in place of `{{$}}`.
      found: the properties of each artifact by the name of the output.
      paths: the path of each output. None: the task has no such output.
    """
    present = {name: properties for name, properties in found.items() if paths.get(name)}
    for name, properties in present.items():
        _write_json(Path(paths[name] or ""), properties)
    artifacts = {name: {"artifacts": [{"metadata": properties}]} for name, properties in present.items()}
    _write_json(Path(json.loads(executor_input)["outputs"]["outputFile"]), {"artifacts": artifacts})


def uri_of(executor_input: str, output: str) -> str:
    """Returns the place of an artifact in Kubeflow's own storage, or an empty text if Kubeflow has none."""
    artifacts = json.loads(executor_input)["outputs"].get("artifacts", {})
    found = artifacts.get(output, {}).get("artifacts") or [{}]
    return str(found[0].get("uri", ""))


def _known(properties: Mapping[str, Any]) -> Properties:
    """Omits values without a form in KFP's metadata.

    The launcher fails on null (StructValueToMLMDValue in backend/src/v2/metadata/converter.go), and JSON has no NaN.
    """
    return {
        name: value
        for name, value in properties.items()
        if value is not None and not (isinstance(value, float) and not math.isfinite(value))
    }


def _write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
