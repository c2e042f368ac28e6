"""Downloads the report of a run from Kubeflow's own storage, through the user interface."""

from __future__ import annotations

from errors import ClusterRefused, ReportError, ServiceUnavailable
from pipeline.kubeflow.client import KubeflowClient
from pipeline.kubeflow.outcome import ENDED_STATES, folder_below, is_report
from pipeline.kubeflow.pod_logs import LogUnreadable, PodLogs
from pipeline.kubeflow.run_view import RunView
from pipeline.kubeflow.submission import task_names_of
from pipeline.kubeflow.task_log import RunEnded, read
from storage.urls import is_object

# frontend/server/handlers/artifacts.ts, Kubeflow Pipelines 2.16.1.
_PATH = "/artifacts/get"
_SOURCES = {"minio": "minio", "s3": "s3", "gs": "gcs"}


def read_report(cluster: KubeflowClient, run_id: str) -> str:
    """Returns the report of a run, a page of HTML.

    Raises:
      ReportError: there is no report yet, or it cannot be read through this server. The message names other ways.
      ClusterRefused, ServiceUnavailable: see `KubeflowClient.call`.
    """
    names = task_names_of(cluster, run_id)
    view = RunView(cluster, run_id, names)
    view.refresh()
    if view.state not in ENDED_STATES:
        follow = cluster.command("submit", "--follow", run_id)
        raise ReportError(f"run {run_id}: is {view.state.lower()}, and has no report yet. `{follow}` follows it")
    try:
        ended = _record(view, names)
    except LogUnreadable as error:
        raise ReportError(_elsewhere(view, f"the log of RunReport cannot be read: {error}", None)) from None
    try:
        text = cluster.get_text("show the report", _PATH, {}, _query(ended.report, view))
    except (ClusterRefused, ServiceUnavailable, LogUnreadable) as error:
        raise ReportError(_elsewhere(view, str(error), ended)) from None
    if run_id not in text:
        raise ReportError(_elsewhere(view, "the response is another page", ended))
    return text


def _record(view: RunView, names: dict[str, str]) -> RunEnded:
    """Returns the record that the exit task printed.

    Raises:
      LogUnreadable: there is no log, or no record in it.
    """
    tasks = (task for task in view.workflow.tasks if is_report(names.get(task.name, task.name)))
    logs = PodLogs(view.cluster, view.run_id)
    for pod in (pod for task in tasks for pod in reversed(task.pods)):
        records = read(logs.text(pod, view.workflow.namespace, view.created))
        if found := [record for record in records if isinstance(record, RunEnded)]:
            return found[-1]
    raise LogUnreadable("the task has no record")


def _query(uri: str, view: RunView) -> dict[str, str]:
    scheme, _, place = uri.partition("://")
    bucket, _, key = place.partition("/")
    if scheme not in _SOURCES or not key:
        raise LogUnreadable(f"Kubeflow has it at {uri or 'no place'}")
    namespace = view.workflow.namespace or view.cluster.namespace
    query = {"source": _SOURCES[scheme], "bucket": bucket, "key": key}
    return query | ({"namespace": namespace} if namespace else {})


def _elsewhere(view: RunView, reason: str, ended: RunEnded | None) -> str:
    """Returns an error with other ways to the report."""
    page = view.cluster.run_url(view.run_id)
    where = f"open {page}" if page else "open the run in the user interface of Kubeflow"
    ways = [f"{where} and the output `report` of the task RunReport"]
    if ended and ended.root:
        report = f"{ended.root}{folder_below(view.run_id).report}"
        where = "" if is_object(ended.root) else " from the volume of its tasks"
        ways.append(f"copy {report}{where}")
    return f"run {view.run_id}: the report cannot be read here ({reason}). To see it, {', or '.join(ways)}"
