"""The exit task of a run, as `python -m pipeline.kubeflow.run_report`: it runs whatever happened to the other tasks.

It ends summary.json, writes report.html, and hands both to Kubeflow, which takes nothing from a task that failed. So it
succeeds where the run does not.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from compat.process import prepare
from errors import ConfigError, KindredError
from pipeline.config.sections.kubeflow import Metadata
from pipeline.kubeflow import arguments, markdown
from pipeline.kubeflow.cluster_run import ClusterRun
from pipeline.kubeflow.run_identity import checked_run_id
from pipeline.kubeflow.task_log import NodeEnded, run_line
from pipeline.records.executions import Executions
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder
from pipeline.records.run_record import RunRecord

_LONGEST_WAIT = 30
"""Seconds for ML Metadata to answer. The report can do without it, and the reason of the run must not wait."""


def main(words: Sequence[str] | None = None) -> int:
    """Ends the record of a run; the exit code."""
    prepare()
    os.umask(0o002)
    told = arguments.parser("pipeline.kubeflow.run_report", ["summary", "report", "record"]).parse_args(words)
    try:
        run_id = checked_run_id(told.run_id)
        root = arguments.checked_root(told.root)
    except KindredError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    run = ClusterRun(root, _empty_record(told, root, run_id), told.all_nodes.split(","))
    record = run.close()
    _report(run.folder, Metadata.model_validate_json(told.metadata))
    _hand_over(told, run.folder, record)
    print(_line(record, root), flush=True)
    print(record.error or f"{record.status} {record.published or ''}".rstrip(), file=sys.stderr, flush=True)
    return 0


def _line(record: RunRecord, root: Root) -> str:
    nodes = [NodeEnded(node["id"], node["state"], node["seconds"]) for node in record.components]
    return run_line(
        record.run_id,
        record.status,
        error=record.error,
        components=nodes,
        published=record.published,
        root=str(root.path),
    )


def _empty_record(told: argparse.Namespace, root: Root, run_id: str) -> RunRecord:
    try:
        return arguments.empty_record(told, run_id, arguments.read_config(told, root))
    except ConfigError:
        # The first task recorded what is wrong with the parameters.
        return arguments.empty_record(told, run_id, None)


def _report(folder: RunFolder, metadata: Metadata) -> None:
    """Writes the report. A report that cannot be written does not change how the run ended."""
    try:
        # Imports TensorFlow.
        from pipeline.report.write import write_report

        write_report(folder, _executions(metadata))
    except Exception:
        traceback.print_exc()


def _executions(place: Metadata) -> Executions | None:
    """What ML Metadata has; None where it does not answer, as the record alone makes a report, too."""
    from pipeline.kubeflow.metadata import open_store, wait_for

    try:
        patience = min(place.wait_seconds, _LONGEST_WAIT)
        return Executions(open_store(wait_for(place.model_copy(update={"wait_seconds": patience}))))
    except KindredError as error:
        print(f"The report goes without ML Metadata: {error}", file=sys.stderr)
        return None


def _hand_over(told: argparse.Namespace, folder: RunFolder, record: RunRecord) -> None:
    """Copies what Kubeflow takes from this task."""
    markdown.write(Path(told.summary), markdown.describe_run(record))
    for source, output in ((folder.summary, told.record), (folder.report, told.report)):
        if source.is_file():
            Path(output).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, output)


if __name__ == "__main__":
    sys.exit(main())
