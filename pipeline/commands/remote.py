"""`kindred runs --host` and `kindred report --host`: the runs on a server of Kubeflow Pipelines."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from errors import ConfigError, ReportError
from pipeline.commands.table import lay_out
from pipeline.kubeflow.options import RemoteAccess

LATEST = "latest"
_MOST = 100


def check(root: str | None, access: RemoteAccess) -> bool:
    """Returns whether a server is meant.

    Raises:
      ConfigError: a root is meant, too.
    """
    if access.is_given and root is not None:
        raise ConfigError("--root: looks at runs here, and --host or --kubeconfig at those of a server; give one")
    return access.is_given


def describe_runs(access: RemoteAccess, as_json: bool, width: int | None = None) -> str:
    """Returns the newest runs on a server, oldest first.

    Args:
      access: the server.
      as_json: whether to return JSON.
      width: the columns of the terminal. None: those of this one.

    Raises:
      ReportError: the server has no run.
      ClusterRefused, ServiceUnavailable: see `KubeflowClient.call`.
    """
    from pipeline.kubeflow import run_list
    from pipeline.kubeflow.client import KubeflowClient

    cluster = KubeflowClient(access)
    runs = run_list.newest(cluster, _MOST)
    if not runs:
        raise ReportError(f"{cluster.host}: has no run. `{cluster.command('submit', '--config', 'FILE')}` starts one")
    if as_json:
        return json.dumps([dataclasses.asdict(run) for run in runs], indent=2, ensure_ascii=False)
    rows = [
        (run.run_id, run.name, run.state, run.created, "" if run.seconds is None else f"{run.seconds:.0f}")
        for run in runs
    ]
    lines = lay_out(("run", "name", "state", "created", "seconds"), rows, width)
    return "\n".join([*lines, f"These are the newest {_MOST}."] if len(runs) == _MOST else lines)


def download_report(access: RemoteAccess, run: str, output: Path | None) -> Path:
    """Downloads the report of a run. Returns the path of the file.

    Args:
      access: the server.
      run: the id of a run, or `latest`.
      output: the file to write. None: report-RUN.html in the current directory.

    Raises:
      ReportError: there is no report, or it cannot be read through this server.
      ConfigError: the file cannot be written.
      ClusterRefused, ServiceUnavailable: see `KubeflowClient.call`.
    """
    from pipeline.kubeflow import remote_report, run_list
    from pipeline.kubeflow.client import KubeflowClient

    cluster = KubeflowClient(access)
    if run == LATEST:
        newest = run_list.newest(cluster, 1)
        if not newest:
            raise ReportError(f"{cluster.host}: has no run")
        run = newest[0].run_id
    text = remote_report.read_report(cluster, run)
    path = output or Path(f"report-{run}.html")
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--output {path}: cannot be written ({error.strerror}); give another file") from None
    return path
