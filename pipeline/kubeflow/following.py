"""Follows a run to its end. Prints a line per node, then the outcome of the run."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping

from errors import ServiceUnavailable
from pipeline.kubeflow import outcome
from pipeline.kubeflow.client import KubeflowClient
from pipeline.kubeflow.pod_logs import LogUnreadable, PodLogs
from pipeline.kubeflow.run_view import RunView
from pipeline.kubeflow.task_log import NodeEnded, RunEnded, read
from pipeline.kubeflow.workflow import ENDED, Pod, StartedTask
from pipeline.running.console import RunConsole

_TRIES = 5
"""How often to request the log of a task that ended. The log may appear later than the state of the task."""
_CHARACTERS_PER_LOOK = 100_000
"""How many characters of the log of a running task to read per look, on average."""
_LOOKS_AFTER_NONE = 4
"""How many looks to skip after the log of a running task was missing."""
# The state to print for a task without a readable record. A task that used cached results also succeeds.
_KNOWN = {"Succeeded": "succeeded", "Failed": "failed", "Error": "failed", "Skipped": "skipped", "Omitted": "skipped"}


def follow(
    cluster: KubeflowClient,
    run_id: str,
    names: Mapping[str, str],
    console: RunConsole,
    pause: float = 2.0,
) -> str:
    """Follows a run to its end. Shows a live line per running task, and prints a line per node that ended.

    Args:
      cluster: the server.
      run_id: the id of the run.
      names: the display name of each task of the package. Empty if they are not known.
      console: where the lines go.
      pause: seconds between two looks at the run.

    Returns:
      The final state of the run in API v2beta1, such as SUCCEEDED.

    Raises:
      ServiceUnavailable: the server stays unreachable, or refuses to show the run. The run continues.
    """
    following = _Following(RunView(cluster, run_id, names), names, console, lambda: time.sleep(pause))
    with console.running() as show:
        following.watch(show)
        following.read_what_is_left()
    following.conclude()
    return following.run.state


class _Following:
    """The records of a run that have been read and printed."""

    def __init__(self, run: RunView, names: Mapping[str, str], console: RunConsole, wait: Callable[[], None]) -> None:
        self.run = run
        self._names, self._console, self._wait = names, console, wait
        self._logs = PodLogs(run.cluster, run.run_id)
        self._records: dict[str, list[NodeEnded | RunEnded]] = {}
        self._whole_logs: set[str] = set()
        self._looks_to_skip: Counter[str] = Counter()
        self._tries: Counter[str] = Counter()
        self._unreadable = "no task recorded how it ended"
        self._printed: set[str] = set()
        self._done: set[str] = set()
        self._end: RunEnded | None = None

    def watch(self, show: Callable[[Collection[str]], None]) -> None:
        """Prints nodes and tasks as they end, until the run ends."""
        while True:
            self._look()
            show([self._name(task) for task in self._tasks() if task.phase in ("Pending", "Running")])
            self._print_what_ended()
            if self.run.state in outcome.ENDED_STATES:
                return
            self._wait()

    def read_what_is_left(self) -> None:
        """Reads the logs of tasks that ended just before the run, in particular the log of RunReport."""
        for number in range(2 * _TRIES):
            # Without the workflow, a task that ended may not be known yet.
            may_come = not self.run.workflow.is_whole and self._end is None and number < _TRIES
            if not self._unread() and not may_come:
                return
            self._wait()
            self._look()
            self._print_what_ended()
        for task in self._unread():
            self._print_state(task)

    def conclude(self) -> None:
        """Prints the nodes that are still missing, then the outcome of the run."""
        for node in self._end.components if self._end else ():
            self._print(node)
        run = self.run
        headline, *lines = outcome.describe(run.run_id, run.state, self._end, run.workflow, run.was_cancelled)
        went_well = run.state == "SUCCEEDED"
        self._console.say(headline, "" if went_well else "red")
        for line in filter(None, [run.error, *lines]):
            self._console.say(line, matters=not went_well)
        # Kubeflow runs no report for a run that is cancelled.
        if self._end is None and not run.was_cancelled:
            page = run.cluster.run_url(run.run_id)
            self._console.say(outcome.where_to_look(self._unreadable, run.run_id, page, run.workflow), "yellow")

    def _look(self) -> None:
        self.run.look(lambda text: self._console.say(text, "yellow"), self._wait)

    def _tasks(self) -> list[StartedTask]:
        """Returns the tasks of the package that have begun, without drivers of conditions."""
        return [task for task in self.run.workflow.tasks if (task.name in self._names if self._names else task.pods)]

    def _unread(self) -> list[StartedTask]:
        return [task for task in self._tasks() if task.has_ended and task.name not in self._done]

    def _name(self, task: StartedTask) -> str:
        return self._names.get(task.name, task.name)

    def _print_what_ended(self) -> None:
        for task in self._tasks():
            is_live = self.run.workflow.is_whole and task.phase == "Running"
            if task.name not in self._done and (task.has_ended or is_live):
                # The next look waits until the server is reachable.
                with contextlib.suppress(ServiceUnavailable):
                    self._print_nodes(task)

    def _print_nodes(self, task: StartedTask) -> None:
        """Prints the records of the nodes of a task."""
        if outcome.is_refusal(self._name(task)):
            self._done.add(task.name)
            return
        records = [record for pod in task.pods for record in self._read(pod)]
        is_known = task.has_ended and self._is_last_log_read(task)
        for node in _last_of_each(records):
            # The next attempt may succeed, unless this is known to be the last.
            if node.state == "failed" and not is_known:
                break
            self._print(node)
        self._end = next((record for record in reversed(records) if isinstance(record, RunEnded)), self._end)
        self._tries[task.name] += task.has_ended
        if is_known:
            self._done.add(task.name)
        elif task.has_ended and (not task.pods or self._tries[task.name] >= _TRIES):
            self._print_state(task)

    def _is_last_log_read(self, task: StartedTask) -> bool:
        """Returns whether the log of the last attempt has been read and contains records."""
        # Without the workflow, pods are guesses, and any of them may be the last.
        last = task.pods[-1:] if self.run.workflow.is_whole else task.pods
        return any(pod.node in self._whole_logs for pod in last)

    def _read(self, pod: Pod) -> list[NodeEnded | RunEnded]:
        """Returns the records in the log of a pod. Reads the log of an ended pod once, and a long log less often."""
        has_ended = pod.phase in ENDED
        if has_ended and pod.node in self._whole_logs:
            return self._records[pod.node]
        if not has_ended and self._looks_to_skip[pod.node]:
            self._looks_to_skip[pod.node] -= 1
            return self._records.get(pod.node, [])
        try:
            text = self._logs.text(pod, self.run.workflow.namespace, self.run.created)
        except LogUnreadable as error:
            self._unreadable = str(error)
            self._looks_to_skip[pod.node] = _LOOKS_AFTER_NONE
            return self._records.get(pod.node, [])
        self._looks_to_skip[pod.node] = len(text) // _CHARACTERS_PER_LOOK
        if records := read(text):
            self._records[pod.node] = records
            self._whole_logs |= {pod.node} if has_ended else set()
        return self._records.get(pod.node, [])

    def _print_state(self, task: StartedTask) -> None:
        """Prints the state of a task whose records cannot be read."""
        self._done.add(task.name)
        name = self._name(task)
        if name not in self._printed and not outcome.is_report(name):
            self._printed.add(name)
            self._console.finished(name, _KNOWN[task.phase], task.seconds, " ".join(task.message.split()))

    def _print(self, node: NodeEnded) -> None:
        if node.node_id not in self._printed:
            self._printed.add(node.node_id)
            self._console.finished(node.node_id, node.state, node.seconds, node.detail)


def _last_of_each(records: list[NodeEnded | RunEnded]) -> list[NodeEnded]:
    """Returns one record per node: the first that did not fail, or else the last."""
    nodes: dict[str, NodeEnded] = {}
    for record in records:
        if isinstance(record, NodeEnded) and nodes.get(record.node_id, record).state == "failed":
            nodes[record.node_id] = record
        elif isinstance(record, NodeEnded):
            nodes.setdefault(record.node_id, record)
    return list(nodes.values())
