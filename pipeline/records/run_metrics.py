"""The last run of a root in OpenMetrics text, ROOT/runs/metrics.prom, for the textfile collector of a node exporter."""

from __future__ import annotations

import datetime
import math
import os
import uuid
from collections.abc import Iterable, Iterator

from pipeline.records.root import Root
from pipeline.records.run_record import EXIT_CODES, RunRecord

FILE = "metrics.prom"
Samples = Iterable[tuple[dict[str, str], float]]


def write_metrics(root: Root, record: RunRecord, exit_code: int) -> None:
    """Writes the file with one rename.

    Raises:
      OSError: it cannot be written.
    """
    staged = root.runs / f".{FILE}.{uuid.uuid4().hex}"
    try:
        staged.write_text(to_text(record, exit_code), encoding="utf-8")
        os.replace(staged, root.runs / FILE)
    finally:
        staged.unlink(missing_ok=True)


def to_text(record: RunRecord, exit_code: int) -> str:
    """Returns the metrics of a finished run. All are gauges, so that Prometheus's older text format reads them too."""
    started = datetime.datetime.fromisoformat(record.started).timestamp()
    families: list[tuple[str, str, Samples]] = [
        (
            "kindred_run_status",
            "Whether the last run ended with this status.",
            [({"status": status}, float(status == record.status)) for status in EXIT_CODES],
        ),
        ("kindred_run_exit_code", "The exit code of the last run.", [({}, exit_code)]),
        ("kindred_run_start_timestamp_seconds", "When the last run started.", [({}, started)]),
        ("kindred_run_duration_seconds", "How long the last run took.", [({}, record.seconds)]),
        (
            "kindred_component_duration_seconds",
            "How long each component took that the last run executed.",
            [
                ({"component": str(component["id"])}, float(component["seconds"]))
                for component in record.components
                if component.get("state") == "executed" and "seconds" in component
            ],
        ),
        ("kindred_run_rows", "Rows that the last run read.", _rows(record)),
        (
            "kindred_run_metric",
            "Metrics of the model of the last run on held-out rows.",
            [({"metric": name}, value) for name, value in record.metrics.items()],
        ),
        ("kindred_run_published_version", "The version that the last run published.", _version(record)),
    ]
    lines = [line for name, text, samples in families for line in _family(record.pipeline, name, text, samples)]
    return "\n".join([*lines, "# EOF", ""])


def _family(pipeline: str, name: str, text: str, samples: Samples) -> Iterator[str]:
    lines = [f"{name}{_labels({'pipeline': pipeline, **labels})} {_number(value)}" for labels, value in samples]
    if lines:
        yield f"# HELP {name} {text}"
        yield f"# TYPE {name} gauge"
        yield from lines


def _labels(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def _rows(record: RunRecord) -> Samples:
    return [({}, record.data["rows"])] if "rows" in record.data else []


def _version(record: RunRecord) -> Samples:
    number = (record.published or "").rpartition("/")[2]
    return [({}, int(number))] if number.isdecimal() else []
