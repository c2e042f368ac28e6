"""The last lines about a run on a cluster: what came of it, why, and where its record is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from pipeline.kubeflow.task_log import RunEnded
from pipeline.kubeflow.workflow import StartedTask, Workflow
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder

_WENT_WELL = ("published", "tuned")
# Argo puts the exit code before what a container wrote to /dev/termination-log: `inferFailedReason` in
# workflow/controller/operator.go, Argo Workflows 3.7.8.
_EXIT_CODE = re.compile(r"main: \w+ \(exit code \d+\)(?:: )?")


def is_refusal(name: str) -> bool:
    """Whether a task, by its name in the package or for people, is one that only fails the run with the reason."""
    return _letters(name) == "refused"


def is_report(name: str) -> bool:
    """Whether a task, by its name in the package or for people, is the one that ends the record of the run."""
    return _letters(name) == "runreport"


def describe(run_id: str, state: str, record: RunEnded | None, workflow: Workflow, was_cancelled: bool) -> list[str]:
    """Returns the lines that end what `kindred submit` prints about a run.

    Args:
      run_id: the id of the run.
      state: its final state, of API v2beta1.
      record: what its last task recorded, if that could be read.
      workflow: what the server has about its tasks.
      was_cancelled: whether somebody cancelled it.
    """
    if state == "SUCCEEDED":
        came_of_it = f"{record.status} {record.published or ''}".rstrip() if record else "succeeded"
        return [f"run {run_id}: {came_of_it}", *_places(record)]
    is_explained = record is not None and record.status not in _WENT_WELL
    status = record.status if record and is_explained else "failed"
    headline = f"run {run_id}: {'cancelled' if was_cancelled else status.replace('_', ' ')}"
    reason = (record.error or "").splitlines() if record and is_explained else []
    return [headline, *(reason or _messages(workflow.tasks)), *_places(record)]


def where_to_look(reason: str, run_id: str, page: str | None, workflow: Workflow) -> str:
    """Returns the line for a run whose record cannot be read.

    Args:
      reason: why it cannot.
      run_id: the id of the run.
      page: the address of the run in the user interface, if there is one.
      workflow: what the server has about the tasks.
    """
    begun = [task for task in workflow.tasks if task.pods]
    last = max(begun, key=lambda task: task.phase in ("Failed", "Error"), default=None)
    ways = [f"open {page}"] if page else []
    if workflow.is_whole and last:
        ways.append(f"run `kubectl -n {workflow.namespace} logs {last.pods[-1].names[0]} -c main`")
    else:
        ways.append(f"read runs/{run_id}/summary.json below the root of the pipeline")
    return f"The record of the run cannot be read here ({reason}). To see how it ended, {', or '.join(ways)}."


def _places(record: RunEnded | None) -> list[str]:
    """Where model, record and report are, as tasks see it."""
    if record is None or not record.root:
        return []
    root = Root(Path(record.root))
    folder = RunFolder(root.runs / record.run_id)
    lines = [f"  record    {folder.summary}", f"  report    {folder.report}"]
    if record.published:
        model = record.published if "://" in record.published else root.path / record.published
        lines.insert(0, f"  model     {model}")
    return lines


def _messages(tasks: Iterable[StartedTask]) -> list[str]:
    """What the workflow has as the reason of failed tasks: that of the refusal, or else all there are."""
    failed = {task.name: _EXIT_CODE.sub("", task.message, count=1) for task in tasks if task.message}
    refusals = [message for name, message in failed.items() if is_refusal(name) and message]
    if refusals:
        return refusals[0].splitlines()
    return [f"{name}: {' '.join(message.split())}" for name, message in failed.items() if message]


def _letters(name: str) -> str:
    return re.sub("[^a-z]", "", name.lower())
