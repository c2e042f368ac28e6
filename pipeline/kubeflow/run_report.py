"""The exit task of a run: `python -m pipeline.kubeflow.run_report`. It runs even if other tasks failed.

It completes summary.json, writes report.html, and passes both to Kubeflow. Kubeflow ignores the outputs of a failed
task, so this task succeeds even if the run failed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compat.process import prepare
from errors import ConfigError, KindredError
from kindred.terminal import log
from pipeline.config.sections.keep import Keep
from pipeline.config.sections.kubeflow import Metadata
from pipeline.config.sections.notify import Notify
from pipeline.kubeflow import arguments, markdown, ui_artifacts
from pipeline.kubeflow.cluster_run import ClusterRun
from pipeline.kubeflow.run_identity import checked_run_id
from pipeline.kubeflow.task_log import NodeEnded, run_line
from pipeline.records.executions import Executions
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder
from pipeline.records.run_metrics import FILE as METRICS_FILE
from pipeline.records.run_record import EXIT_CODES, RunRecord
from pipeline.running.announcing import announce

_LONGEST_WAIT = 30
"""Seconds to wait for ML Metadata. The report works without it, and the reason of a failed run must not be late."""


def main(words: Sequence[str] | None = None) -> int:
    """Ends the record of a run. Returns the exit code."""
    prepare()
    os.umask(0o002)
    options = arguments.parser(
        "pipeline.kubeflow.run_report", ["summary", "report", "record", ui_artifacts.METRICS]
    ).parse_args(words)
    try:
        run_id = checked_run_id(options.run_id)
        root = arguments.checked_root(options)
    except KindredError as error:
        log(f"error: {error}")
        return 1
    run = ClusterRun(root, _empty_record(options, root, run_id), options.all_nodes.split(","))
    record = run.close()
    _report(run.folder, Metadata.model_validate_json(options.metadata))
    _write_outputs(options, run.folder, record)
    _store(run, run.folder.report)
    print(_line(record, root, ui_artifacts.uri_of(options.executor_input, "report")), flush=True)
    log(record.error or f"{record.status} {record.published or ''}".rstrip())
    # Last, because a target may be slow: the record is complete by now, also for who reads the log.
    announce(_notify(options), root, record, EXIT_CODES.get(record.status, 1), _warn)
    _store(run, root.runs / METRICS_FILE)
    _prune(options, root)
    return 0


def _prune(options: argparse.Namespace, root: Root) -> None:
    """Removes what is not kept. An error here does not change the status of the run."""
    keep = Keep.model_validate(json.loads(options.config).get("keep", {}))
    if keep == Keep():
        return
    try:
        # Imports TFX.
        from pipeline.kubeflow.retention import Busy, prune

        metadata = _metadata(root, Metadata.model_validate_json(options.metadata))
        try:
            log(f"Removed of older runs: {prune(root, keep, metadata)}")
        except Busy as busy:
            log(f"Nothing is removed, because {busy}. The next run removes it.")
    except Exception as error:
        if not isinstance(error, KindredError):
            traceback.print_exc()
        _warn(f"old artifacts were not removed: {error}")


def _store(run: ClusterRun, file: Path) -> None:
    """Uploads a page for people. An error here does not change the status of the run."""
    try:
        run.store(file)
    except KindredError as error:
        _warn(f"{file.name} was not stored: {error}")


def _notify(options: argparse.Namespace) -> Notify:
    """Returns the compiled section `notify`. A wrong parameter of the run does not change it."""
    return Notify.model_validate(json.loads(options.config).get("notify", {}))


def _warn(text: str) -> None:
    log(f"warning: {text}")


def _line(record: RunRecord, root: Root, report: str) -> str:
    nodes = [NodeEnded(node["id"], node["state"], node["seconds"]) for node in record.components]
    return run_line(
        record.run_id,
        record.status,
        error=record.error,
        components=nodes,
        published=record.published,
        root=str(root),
        report=report,
    )


def _empty_record(options: argparse.Namespace, root: Root, run_id: str) -> RunRecord:
    try:
        return arguments.empty_record(options, run_id, arguments.read_config(options, root))
    except ConfigError:
        # The first task has recorded the error in the parameters.
        return arguments.empty_record(options, run_id, None)


def _report(folder: RunFolder, metadata: Metadata) -> None:
    """Writes the report. An error here does not change the status of the run."""
    try:
        # Imports TensorFlow.
        from pipeline.report.write import write_report

        write_report(folder, _executions(folder.root, metadata))
    except Exception:
        traceback.print_exc()


def _executions(root: Root, place: Metadata) -> Executions | None:
    """Returns the executions in ML Metadata, or None if it does not answer. The report works without them."""
    try:
        return Executions(_metadata(root, place))
    except KindredError as error:
        log(f"The report is written without ML Metadata: {error}")
        return None


def _metadata(root: Root, place: Metadata) -> Any:
    """Opens ML Metadata.

    Raises:
      ServiceUnavailable: it does not answer.
    """
    from pipeline.kubeflow.metadata import open_store, wait_for
    from pipeline.kubeflow.stored_metadata import opener

    patience = min(place.wait_seconds, _LONGEST_WAIT)
    return open_store(wait_for(place.model_copy(update={"wait_seconds": patience})), opener(root))


def _write_outputs(options: argparse.Namespace, folder: RunFolder, record: RunRecord) -> None:
    """Copies the outputs to the paths that Kubeflow reads."""
    markdown.write(Path(options.summary), markdown.describe_run(record))
    for source, output in ((folder.summary, options.record), (folder.report, options.report)):
        if source.is_file():
            Path(output).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, output)
    found = {ui_artifacts.METRICS: ui_artifacts.metrics(record)}
    ui_artifacts.write(options.executor_input, found, vars(options))


if __name__ == "__main__":
    sys.exit(main())
