"""What a container of a task runs: one node of the graph, as `python -m pipeline.kubeflow.node`.

The exit code is that of `kindred run`; the last lines on stderr say in plain words what was refused and why. A task
that is killed and started again goes on where ML Metadata say that it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from components.errors import ComponentError
from pipeline.config import PipelineConfig, build_config
from pipeline.config.sections.kubeflow import Metadata
from pipeline.errors import ConfigError, PipelineError
from pipeline.kubeflow.parameters import at_span
from pipeline.quick_import import tfx_imported
from pipeline.root import Root


@dataclasses.dataclass(frozen=True)
class Job:
    """What a task is told: which node of which graph, in which run, and where everything is."""

    node_id: str
    run_id: str
    config: PipelineConfig
    root: Root
    graph: str
    metadata: Metadata
    accept_reason: str | None
    summary: Path
    report: Path | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the node that the command line names; the exit code."""
    try:
        job = read_job(sys.argv[1:] if arguments is None else arguments)
        return run(job)
    except (ComponentError, PipelineError) as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def read_job(arguments: Sequence[str]) -> Job:
    """Reads the arguments that `pipeline.kubeflow.compiler` wrote and Kubeflow filled in.

    Raises:
      ConfigError: a run parameter breaks a rule of the pipeline file.
    """
    told = _parser().parse_args(arguments)
    root = Root(Path(told.root))
    tree = json.loads(told.config)
    tree["data"]["path"] = at_span(told.data, told.span)
    if told.schema is not None:
        tree["schema"] = str(_write_schema(root, json.loads(told.schema)))
    config = build_config(tree, [f"{key}={value}" for key, value in told.set], "run parameters")
    return Job(
        node_id=told.node,
        run_id=told.run_id,
        config=config,
        root=root,
        graph=told.graph,
        metadata=Metadata.model_validate_json(told.metadata),
        accept_reason=told.accept_anomalies or None,
        summary=Path(told.summary),
        report=Path(told.report) if told.report else None,
    )


def run(job: Job) -> int:
    """Runs the node of `job`, brings the record of the run up to date and writes the task's summary; the exit code.

    Raises:
      ConfigError: the image is not of the version that compiled the package.
      ServiceUnavailable: ML Metadata does not answer.
    """
    logging.basicConfig(level=logging.INFO)
    # Importing TFX costs seconds, which an argument that is wrong does not cost.
    with tfx_imported():
        from pipeline.beam.startup import remember_inspections
        from pipeline.graph import compile_graph, create_pipeline
        from pipeline.kubeflow.metadata import PatientMetadata, wait_for
        from pipeline.kubeflow.shape import digest, shape_of
        from pipeline.kubeflow.task_record import TaskRecord
        from pipeline.nodes import NodeRunner

    remember_inspections()
    graph = compile_graph(create_pipeline(job.config, job.root, job.accept_reason), job.run_id)
    nodes = {entry.pipeline_node.node_info.id: entry.pipeline_node for entry in graph.nodes}
    if digest(shape_of(graph)) != job.graph:
        raise ConfigError(
            "the graph of this image is not the graph of the package: they are of different versions, or a "
            "run parameter changes which components there are; compile again with the version of kubeflow.image"
        )
    runner = NodeRunner(graph, wait_for(job.metadata), PatientMetadata)
    fault, result, since = None, None, time.monotonic()
    try:
        result = runner.run(nodes[job.node_id])
    except Exception as error:
        traceback.print_exc()
        fault = error
    record = TaskRecord(job.config, job.root, job.run_id, job.node_id)
    exit_code = record.bring_up_to_date(runner, nodes, result, fault, time.monotonic() - since)
    record.write_markdown(job.summary)
    if job.report:
        record.copy_report(job.report)
    print(record.last_words, file=sys.stderr, flush=True)
    return exit_code


def _write_schema(root: Root, text: str) -> Path:
    """Puts the user's own schema where every task finds it; its name is its content's digest."""
    path = root.path / "schemas" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.pbtxt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_suffix(f".{os.urandom(8).hex()}.staged")
        staged.write_text(text, encoding="utf-8")
        staged.rename(path)
    return path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pipeline.kubeflow.node", allow_abbrev=False)
    for name in ("node", "run-id", "data", "span", "root", "config", "graph", "metadata", "summary"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--accept-anomalies", default="")
    parser.add_argument("--schema")
    parser.add_argument("--report")
    parser.add_argument("--set", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
