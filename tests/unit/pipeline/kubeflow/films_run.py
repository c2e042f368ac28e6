"""A run of the films pipeline: its tasks, what they record, and what `kindred submit` prints about it."""

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
REASON = "the model is not good enough\n  rmse 1.25 must be below 1.00 (NOT MET)\n  open report.html"
REFUSED = FakeTask(
    "refused-2", "Failed", (Attempt("Failed", REASON, f"main: Error (exit code 1): {REASON}"),), is_retried=False
)


def published() -> FakeTask:
    line = run_line("RUN", "published", components=NODES, published="serving/1", root="/kindred/films")
    return done("runreport", line, is_exit=True)


def refused() -> FakeTask:
    line = run_line("RUN", "model_refused", error=REASON, components=NODES[:3], root="/kindred/films")
    return done("runreport", line, is_exit=True)


def at(state: str, *tasks: FakeTask, **more: Any) -> dict[str, Any]:
    """What a look at the run gives: its state, and its tasks as the workflow and `task_details` have them."""
    phase = {"SUCCEEDED": "Succeeded", "FAILED": "Failed"}.get(state, "Running")
    return {"state": state, "workflow": FakeWorkflow(*tasks, phase=phase), **more}


def lines(err: str) -> list[tuple[str, str]]:
    """Id and state of each line about a node or a task."""
    return re.findall(r"^  (\S+) +(executed|succeeded|cached|skipped|failed) +\d", err, flags=re.MULTILINE)


def states(**expected: str) -> list[tuple[str, str]]:
    return list(expected.items())


ALL = states(PairExampleGen="executed", DataGate="executed", Trainer="executed", Pusher="executed")
