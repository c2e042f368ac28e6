"""Runs the nodes of a task in order: `python -m pipeline.kubeflow.node`. This is the command of its container.

The container fails only by accident. Kubeflow then retries it, as often as `kubeflow.task.retries` allows, and it
resumes from the state in ML Metadata. A retry cannot fix a refusal or a user's mistake. In that case the error is
recorded, the container succeeds, and its output `verdict` stops the run.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compat.process import prepare
from errors import ConfigError, DataRefused, KindredError, ModelRefused, RunIdError, Unavailable
from kindred.terminal import log
from pipeline.config import PipelineConfig
from pipeline.config.sections.kubeflow import Metadata
from pipeline.kubeflow import arguments, markdown, ui_artifacts
from pipeline.kubeflow.cluster_run import ClusterRun
from pipeline.kubeflow.containers import GO, STOP
from pipeline.kubeflow.node_records import NodeRecord
from pipeline.kubeflow.run_identity import checked_run_id, submission_digest
from pipeline.kubeflow.task_log import node_line
from pipeline.records.root import Root
from pipeline.running.local import judge
from storage.trust import trust

if TYPE_CHECKING:
    from pipeline.kubeflow.node_runs import NodeRuns

_ARTIFACTS = (ui_artifacts.CLASSES, ui_artifacts.DATASET, ui_artifacts.MODEL)


def main(words: Sequence[str] | None = None) -> int:
    """Runs the nodes that the command line names. Returns the exit code."""
    prepare()
    # Clusters choose the user. Another user of the same group must be able to write to the files.
    os.umask(0o002)
    options = arguments.parser("pipeline.kubeflow.node", ["summary", "verdict"], _ARTIFACTS).parse_args(words)
    try:
        run_id = checked_run_id(options.run_id)
        root = arguments.checked_root(options)
        return _TaskAttempt(options, root, run_id).run()
    except Unavailable as error:
        log(f"error: {error}")
        return 1
    except KindredError as error:
        # There is no place for a record. Task Refused detects the same error and fails the run.
        log(f"error: {error}")
        _write_outputs(options, STOP, str(error))
        return 0


class _TaskAttempt:
    """One attempt of one task."""

    def __init__(self, options: argparse.Namespace, root: Root, run_id: str) -> None:
        self._options, self._root, self._run_id = options, root, run_id
        self._node_ids: list[str] = options.nodes.split(",")
        self._submission = submission_digest(arguments.facts(options))
        self._done: list[NodeRecord] = []

    def run(self) -> int:
        """Runs the nodes in order until one fails. Returns the exit code."""
        config, fault = self._config()
        empty = arguments.empty_record(self._options, self._run_id, config)
        self._run = ClusterRun(self._root, empty, self._options.all_nodes.split(","))
        if stopped := self._stopped_by():
            _write_outputs(self._options, STOP, f"Not run: {stopped} stopped the run.")
            return 0
        try:
            self._refuse_other_submissions()
            if config is None:
                raise fault or AssertionError
            nodes = self._start(config)
        except RunIdError as error:
            # The records belong to another submission. Leave them unchanged.
            log(f"error: {error}")
            return 1
        except Exception as error:
            return self._end(self._failed(self._node_ids[0], error, time.time()))
        for node_id in self._node_ids:
            if self._run_node(nodes, config, node_id).state == "failed":
                break
        return self._end(self._done[-1])

    def _config(self) -> tuple[PipelineConfig | None, ConfigError | None]:
        try:
            return arguments.read_config(self._options, self._root), None
        except ConfigError as error:
            return None, error

    def _stopped_by(self) -> str | None:
        """Returns the node of an earlier task that stopped the run. Nodes of this task are retried."""
        ended = (node for node in self._run.nodes.values() if node.id not in self._node_ids)
        return next((node.id for node in ended if node.is_final), None)

    def _refuse_other_submissions(self) -> None:
        for node in self._run.nodes.values():
            if node.submission != self._submission:
                raise RunIdError(
                    f"run id {self._run_id}: {node.id} already ran under this id with other parameters or another "
                    f"package (submission {node.submission}, this one is {self._submission}); start a new run"
                )

    def _start(self, config: PipelineConfig) -> NodeRuns:
        """Imports TFX, after the arguments have been checked, and builds the graph."""
        logging.basicConfig(level=logging.INFO)
        trust(config.storage.ca_file)
        from pipeline.kubeflow.node_runs import NodeRuns

        return NodeRuns.of(
            config,
            self._root,
            self._run_id,
            accept_reason=self._options.accept_anomalies or None,
            graph_digest=self._options.graph,
            metadata=Metadata.model_validate_json(self._options.metadata),
        )

    def _run_node(self, nodes: NodeRuns, config: PipelineConfig, node_id: str) -> NodeRecord:
        """Runs one node and writes its record."""
        began, is_resumed = time.time(), node_id in self._run.nodes
        self._run.note(NodeRecord(node_id, self._submission, "running", began))
        try:
            state, detail, found = nodes.run(node_id, self._run.record, is_resumed)
        except Exception as error:
            return self._failed(node_id, error, began)
        seconds = time.time() - began
        return self._note(NodeRecord(node_id, self._submission, state, began, seconds, detail, found))

    def _failed(self, node_id: str, error: Exception, began: float) -> NodeRecord:
        record = self._run.record
        judge(error, record)
        found: dict[str, Any] = {"status": record.status, "error": record.error}
        if isinstance(error, DataRefused) and error.facts:
            found["data"] = {name: record.data[name] for name in error.facts if name in record.data}
        if isinstance(error, ModelRefused) and error.replay:
            found["replay"] = record.replay
        is_final = isinstance(error, KindredError) and not isinstance(error, Unavailable)
        if not is_final:
            log("".join(traceback.format_exception(error)).rstrip())
        seconds = time.time() - began
        return self._note(
            NodeRecord(node_id, self._submission, "failed", began, seconds, found=found, is_final=is_final)
        )

    def _note(self, node: NodeRecord) -> NodeRecord:
        self._done.append(node)
        self._run.note(node)
        print(node_line(node.id, node.state, node.seconds, node.detail), flush=True)
        if node.error:
            log(node.error)
        return node

    def _end(self, last: NodeRecord) -> int:
        """Writes the outputs of the task. Returns the exit code."""
        record = self._run.record
        _write_outputs(self._options, STOP if record.error else GO, markdown.describe_nodes(self._done))
        found = {
            ui_artifacts.DATASET: ui_artifacts.dataset(record),
            ui_artifacts.MODEL: ui_artifacts.model(record, self._root),
        }
        if self._options.classes:
            # Only the task of the Evaluator has its output.
            found[ui_artifacts.CLASSES] = ui_artifacts.classes(record, self._root)
        ui_artifacts.write(self._options.executor_input, found, vars(self._options))
        return 1 if last.state == "failed" and not last.is_final else 0


def _write_outputs(options: argparse.Namespace, verdict: str, summary: str) -> None:
    markdown.write(Path(options.summary), summary)
    markdown.write(Path(options.verdict), verdict)


if __name__ == "__main__":
    sys.exit(main())
