"""Serves the candidate, tests it, and blesses or refuses it."""

from __future__ import annotations

import dataclasses
import json
import os
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import tensorflow as tf
from tfx import types
from tfx.components.util import model_utils
from tfx.utils import path_utils

from components.execution import ExecutionArguments, ExecutorBase
from components.serving_canary import probe
from components.serving_canary.probe import Finding, Latency, ProbePairs
from components.serving_canary.server import Server, ServerFailed, serving, serving_binary
from components.serving_canary.settings import CanarySettings
from components.serving_canary.trained import Trained
from errors import ModelRefused
from trainer import features
from trainer.data.examples import EVAL, Examples
from trainer.entity_features.table import inputs_of
from trainer.export.tables import read_tables

REPORT_FILE = "canary.json"
BLESSED_PROPERTY = "blessed"


class Executor(ExecutorBase):
    """Executor of ServingCanary."""

    def execute(self, execution: ExecutionArguments) -> None:
        """Blesses the model if it passes the tests. Leaves a model unblessed that the Evaluator did not bless.

        Raises:
          ModelRefused: the model failed a test, or the eval split has no rows to test it with.
        """
        blessing, model = execution.output("blessing"), execution.input("model")
        judged = execution.optional_input("model_blessing")
        if judged and not model_utils.is_model_blessed(judged):
            _bless(blessing, 0)
            return
        settings = execution.settings(CanarySettings)
        path = path_utils.serving_model_path(model.uri, path_utils.is_old_model_artifact(model))
        findings, latency = _test(path, eval_pairs(execution.input("examples").uri, settings.rows), settings)
        _judge(findings, latency, settings)
        _write(blessing.uri, findings, latency)
        _bless(blessing, 1)


def eval_pairs(examples: str, count: int) -> ProbePairs:
    """Returns the first `count` pairs of the eval split.

    Args:
      examples: URI of the `Examples`.
      count: maximum number of pairs.

    Raises:
      ModelRefused: the split has no rows.
    """
    columns = Examples(examples)
    rows = next((block.take(slice(count)) for block in columns.blocks(EVAL)), None)
    if rows is None or not len(rows):
        raise ModelRefused(f"the serving canary has no pairs to send: the split eval of {examples} has no rows")
    left, right = columns.left.ids.take(pa.array(rows.left)), columns.right.ids.take(pa.array(rows.right))
    described = inputs_of(examples, features.LEFT, left) | inputs_of(examples, features.RIGHT, right)
    return ProbePairs(left.to_pylist(), right.to_pylist(), described)


def _test(path: str, pairs: ProbePairs, settings: CanarySettings) -> tuple[list[Finding], Latency | None]:
    """Returns the result of each test, and the latency if all passed."""
    trained, tables = Trained(path), read_tables(path)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        # They are computed while the server loads the model.
        requests = probe.requests(trained, pairs, max(tables.left.known, tables.right.known), threads)
        try:
            with serving(path, settings.start_seconds) as server:
                findings = list(probe.check_signatures(server, requests))
                if findings:
                    findings.append(probe.check_tables(tables, trained, pairs))
                faulty = any(finding.fault for finding in findings) or not findings
                return findings, None if faulty else _timed(server, pairs, requests)
        except (ServerFailed, OSError) as error:
            return [Finding("start", str(error))], None


def _timed(server: Server, pairs: ProbePairs, requests: list[probe.Request]) -> Latency:
    return probe.time_requests(server, pairs, {request.signature for request in requests})


def _judge(findings: list[Finding], latency: Latency | None, settings: CanarySettings) -> None:
    faults = [f"  {finding.what}: {finding.fault}" for finding in findings if finding.fault]
    if not findings:
        faults = ["  the model has no signature: nothing was tested"]
    if latency is not None and settings.max_p99_ms is not None and latency.p99 > settings.max_p99_ms:
        faults = [f"  p99 of {latency.requests} requests is {latency.p99:.2f} ms, above {settings.max_p99_ms:g}"]
    if faults:
        lines = [f"the serving canary refuses the model, which {os.path.basename(serving_binary())} serves:", *faults]
        raise ModelRefused(
            "\n".join([*lines, "The model was not published. The settings of the canary are in publish.canary."])
        )


def _write(uri: str, findings: list[Finding], latency: Latency | None) -> None:
    report = {
        "binary": os.path.basename(serving_binary()),
        "tested": [finding.what for finding in findings],
        "latency_ms": dataclasses.asdict(latency) if latency else None,
    }
    tf.io.gfile.makedirs(uri)
    with tf.io.gfile.GFile(os.path.join(uri, REPORT_FILE), "w") as out:
        json.dump(report, out, indent=1)


def _bless(blessing: types.Artifact, blessed: int) -> None:
    blessing.set_int_custom_property(BLESSED_PROPERTY, blessed)
