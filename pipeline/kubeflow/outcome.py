"""The last lines about a run on a cluster: its outcome, the reason, and the location of its record."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from pipeline.kubeflow.task_log import RunEnded
from pipeline.kubeflow.workflow import StartedTask, Workflow
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder

ENDED_STATES = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
"""The states of API v2beta1 in which a run stays."""
_WENT_WELL = ("published", "tuned", "awaiting_approval")
# Argo puts the exit code before what a container wrote to /dev/termination-log: `inferFailedReason` in
# workflow/controller/operator.go, Argo Workflows 3.7.8.
_EXIT_CODE = re.compile(r"main: \w+ \(exit code \d+\)(?:: )?")


def is_refusal(name: str) -> bool:
    """Returns whether a task only fails a refused run. Accepts its display name or its name in the package."""
    return _letters(name) == "refused"


def is_report(name: str) -> bool:
    """Returns whether a task ends the record of the run. Accepts its display name or its name in the package."""
    return _letters(name) == "runreport"


def describe(run_id: str, state: str, record: RunEnded | None, workflow: Workflow, was_cancelled: bool) -> list[str]:
    """Returns the last lines that `kindred submit` prints about a run.

    Args:
      run_id: the id of the run.
      state: the final state in API v2beta1.
      record: the record of the exit task. None: it could not be read.
      workflow: the tasks of the run.
      was_cancelled: whether somebody cancelled the run.
    """
    if state == "SUCCEEDED":
        outcome = f"{record.status} {record.published or ''}".rstrip() if record else "succeeded"
        return [f"run {run_id}: {outcome}", *_places(record)]
    is_explained = record is not None and record.status not in _WENT_WELL
    status = record.status if record and is_explained else "failed"
    headline = f"run {run_id}: {'cancelled' if was_cancelled else status.replace('_', ' ')}"
    reason = (record.error or "").splitlines() if record and is_explained else []
    return [headline, *(reason or _messages(workflow.tasks)), *_places(record)]


def where_to_look(reason: str, run_id: str, page: str | None, workflow: Workflow) -> str:
    """Returns the line for a run whose record cannot be read.

    Args:
      reason: the reason for that.
      run_id: the id of the run.
      page: the URL of the run in the user interface, or None.
      workflow: the tasks of the run.
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
    """Returns the places of model, record and report, as tasks see them."""
    if record is None or not record.root:
        return []
    below = folder_below(record.run_id)
    lines = [f"  record    {record.root}{below.summary}", f"  report    {record.root}{below.report}"]
    if record.published:
        model = record.published if "://" in record.published else f"{record.root}/{record.published}"
        lines.insert(0, f"  model     {model}")
    return lines


def folder_below(run_id: str) -> RunFolder:
    """Returns the folder of a run. Its paths follow that of the root, which is a directory or a URL."""
    return RunFolder(Root(Path("/")).runs / run_id)


def _messages(tasks: Iterable[StartedTask]) -> list[str]:
    """Returns the message of the refusal, or else the messages of all failed tasks."""
    failed = {task.name: _EXIT_CODE.sub("", task.message, count=1) for task in tasks if task.message}
    refusals = [message for name, message in failed.items() if is_refusal(name) and message]
    if refusals:
        return refusals[0].splitlines()
    return [f"{name}: {' '.join(message.split())}" for name, message in failed.items() if message]


def _letters(name: str) -> str:
    return re.sub("[^a-z]", "", name.lower())
