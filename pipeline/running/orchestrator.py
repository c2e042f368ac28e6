"""Runs the nodes of a graph in sequence and records their results. Imports TFX."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable

import absl.logging
from tfx.proto.orchestration import pipeline_pb2
from tfx.types import standard_component_specs
from tfx.utils import path_utils

from compat.tfx_cache import keys_without
from components.serving_canary.server import started_ahead
from pipeline.config import PipelineConfig
from pipeline.records import node_ids
from pipeline.records.root import Root
from pipeline.records.run_record import RunRecord
from pipeline.running import run_metadata
from pipeline.running.console import RunConsole
from pipeline.running.findings import note
from pipeline.running.graph import compile_graph, create_pipeline
from pipeline.running.node_runner import NodeResult, NodeRunner
from pipeline.running.options import RunOptions

# A training of this many rows times epochs takes about as long as the start of the canary's server. The server then
# starts together with Transform, which keeps one core busy. For longer trainings, it starts after them, during the
# evaluation, because it uses hundreds of megabytes.
_SHORT_TRAINING = 10_000_000


def run_nodes(
    config: PipelineConfig,
    root: Root,
    options: RunOptions,
    record: RunRecord,
    console: RunConsole,
    save: Callable[[], None],
) -> None:
    """Runs the nodes in order until one fails.

    Args:
      config: the pipeline file.
      root: where artifacts and metadata are stored.
      options: of this run.
      record: gets the results of each node.
      console: shows each node.
      save: writes the record after each node.

    Raises:
      Exception: raised by the executor of a node. The record already has the state of the node.
    """
    absl.logging.set_verbosity(absl.logging.INFO)
    logging.getLogger("apache_beam").setLevel(logging.WARNING)
    graph = compile_graph(create_pipeline(config, root, options.accept_reason), record.run_id)
    session = root.session
    keys = keys_without(str(root.path)) if session else contextlib.nullcontext()
    with run_metadata.opened(root.metadata) as handle, keys, contextlib.ExitStack() as canary:
        runner = NodeRunner(graph, handle, session.fetch_artifact if session else None)
        for entry in graph.nodes:
            node_id = entry.pipeline_node.node_info.id
            if node_id in _before_canary(config, record):
                canary.enter_context(started_ahead())
            result = _run_node(entry.pipeline_node, runner, config, root, record, console)
            save()
            if node_id == node_ids.TRAINER and result.state == "executed":
                give_model = canary.enter_context(started_ahead())
                give_model(path_utils.serving_model_path(result.uri(standard_component_specs.MODEL_KEY)))
            elif node_id in (node_ids.TRANSFORM, node_ids.TRAINER) and result.state != "executed":
                canary.close()  # an unchanged model has already been tested
            if node_id == options.until:
                record.status = "tuned"
                break


def _before_canary(config: PipelineConfig, record: RunRecord) -> tuple[str, ...]:
    """Returns the nodes with which the server of the canary starts."""
    if record.data.get("splits", {}).get("train", math.inf) * config.train.epochs > _SHORT_TRAINING:
        return ()
    return (node_ids.TRAINER,) if config.tune else (node_ids.TRANSFORM, node_ids.TRAINER)


def _run_node(
    node: pipeline_pb2.PipelineNode,
    runner: NodeRunner,
    config: PipelineConfig,
    root: Root,
    record: RunRecord,
    console: RunConsole,
) -> NodeResult:
    """Runs `node` and records its results."""
    node_id = node.node_info.id
    started = time.monotonic()
    try:
        with console.component(node_id):
            result = runner.run(node)
            state, detail = note(record, config, root, node_id, result)
    except BaseException:
        _close(record, console, node_id, "failed", started, "")
        raise
    _close(record, console, node_id, state, started, detail)
    for path in result.damaged:
        console.say(f"    warning: {path} was missing or changed, so {node_id} ran again", "yellow")
    if node_id == node_ids.EXAMPLE_GEN:
        for found in record.data.get("warnings", []):
            console.say(f"    warning: {found['column']}: {found['text']}", "yellow")
    return result


def _close(record: RunRecord, console: RunConsole, node_id: str, state: str, started: float, detail: str) -> None:
    seconds = time.monotonic() - started
    record.components.append({"id": node_id, "state": state, "seconds": round(seconds, 3)})
    console.finished(node_id, state, seconds, detail)
