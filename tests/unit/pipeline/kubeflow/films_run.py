"""A run of the films pipeline: its tasks, their records, and the lines that `kindred submit` prints."""

from __future__ import annotations

import re
from typing import Any

from pipeline.kubeflow.task_log import NodeEnded, node_line, run_line
from tests.unit.pipeline.kubeflow.fake_workflow import Attempt, FakeTask, FakeWorkflow, done

DATA = (
    node_line("PairExampleGen", "executed", 4.0, "990 rows"),
    node_line("DataGate", "executed", 0.5, "8 rules hold"),
)
TRAINER = (node_line("Trainer", "executed", 61.0, "13 epochs"),)
NODES = (
    NodeEnded("PairExampleGen", "executed", 4.0),
    NodeEnded("DataGate", "executed", 0.5),
    NodeEnded("Trainer", "executed", 61.0),
    NodeEnded("Pusher", "executed", 0.2),
)
REPORT = "minio://mlpipeline/v2/artifacts/films/RUN/runreport/5f/report"
REASON = "the model is not good enough\n  rmse 1.25 must be below 1.00 (NOT MET)\n  open report.html"
REFUSED = FakeTask(
    "refused-2", "Failed", (Attempt("Failed", REASON, f"main: Error (exit code 1): {REASON}"),), is_retried=False
)


def published() -> FakeTask:
    line = run_line("RUN", "published", components=NODES, published="serving/1", root="/kindred/films", report=REPORT)
    return done("runreport", line, is_exit=True)


def refused() -> FakeTask:
    line = run_line("RUN", "model_refused", error=REASON, components=NODES[:3], root="/kindred/films")
    return done("runreport", line, is_exit=True)


def published_run() -> dict[str, Any]:
    """Returns a response about a run that published its model."""
    return at("SUCCEEDED", done("data", *DATA), done("trainer", *TRAINER), published())


def refused_run(*trainer: FakeTask) -> dict[str, Any]:
    """Returns a response about a run that was refused after Data and the given tasks."""
    return at("FAILED", done("data", *DATA), *trainer, REFUSED, refused())


def at(state: str, *tasks: FakeTask, **more: Any) -> dict[str, Any]:
    """Returns a response about the run: its state, and its tasks in the workflow and in `task_details`."""
    phase = {"SUCCEEDED": "Succeeded", "FAILED": "Failed"}.get(state, "Running")
    return {"state": state, "workflow": FakeWorkflow(*tasks, phase=phase), **more}


def lines(err: str) -> list[tuple[str, str]]:
    """Returns the id and the state in each line about a node or a task."""
    return re.findall(r"^  (\S+) +(executed|succeeded|cached|skipped|failed) +\d", err, flags=re.MULTILINE)


def states(**expected: str) -> list[tuple[str, str]]:
    return list(expected.items())


ALL = states(PairExampleGen="executed", DataGate="executed", Trainer="executed", Pusher="executed")
