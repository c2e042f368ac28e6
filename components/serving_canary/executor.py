"""Serves the candidate, asks it, and blesses it or refuses it."""

from __future__ import annotations

import dataclasses
import json
import os

import tensorflow as tf
from tfx import types
from tfx.components.util import model_utils
from tfx.dsl.components.base import base_executor
from tfx.utils import path_utils

from components.examples import read_batches, split_files
from components.execution import Execution, ExecutorBase
from components.serving_canary import probe
from components.serving_canary.probe import Finding, Latency, Rows
from components.serving_canary.server import ServerFailed, serving, serving_binary
from components.serving_canary.settings import CanarySettings
from errors import ModelRefused
from trainer import features

REPORT_FILE = "canary.json"
BLESSED_PROPERTY = "blessed"
_EVAL = "eval"


class Executor(ExecutorBase, base_executor.BaseExecutor):
    """Executor of ServingCanary."""

    def execute(self, execution: Execution) -> None:
        """Blesses the model, or leaves it unblessed where the Evaluator did.

        Raises:
          ModelRefused: it was served and something is wrong, or there was nothing to ask it with.
        """
        blessing, model = execution.output("blessing"), execution.input("model")
        if not model_utils.is_model_blessed(execution.input("model_blessing")):
            _bless(blessing, 0)
            return
        settings = execution.settings(CanarySettings)
        path = path_utils.serving_model_path(model.uri, path_utils.is_old_model_artifact(model))
        findings, latency = _try(path, eval_rows(execution.input("examples").uri, settings.rows), settings)
        _judge(findings, latency, settings)
        _write(blessing.uri, findings, latency)
        _bless(blessing, 1)


def eval_rows(examples: str, count: int) -> Rows:
    """The first `count` pairs of the eval split.

    Raises:
      ModelRefused: it holds none.
    """
    left: list[bytes] = []
    right: list[bytes] = []
    for file in split_files(examples, _EVAL):
        for batch in read_batches(file):
            wanted = batch.slice(0, count - len(left)).to_pydict()
            left += wanted[features.LEFT_ID]
            right += wanted[features.RIGHT_ID]
            if len(left) == count:
                return Rows(left, right)
    if not left:
        raise ModelRefused(f"the serving canary has nothing to ask with: {examples} holds no eval rows")
    return Rows(left, right)


def _try(path: str, rows: Rows, settings: CanarySettings) -> tuple[list[Finding], Latency | None]:
    """Everything that was tried, and the latency where all went well."""
    expected = probe.trained(path)
    try:
        with serving(path, settings.start_seconds) as server:
            findings = list(probe.check_signatures(server, server.signatures() or {}, expected, rows))
            faulty = any(finding.fault for finding in findings) or not findings
            return findings, None if faulty else probe.time_requests(server, rows)
    except (ServerFailed, OSError) as error:
        return [Finding("start", str(error))], None


def _judge(findings: list[Finding], latency: Latency | None, settings: CanarySettings) -> None:
    faults = [f"  {finding.what}: {finding.fault}" for finding in findings if finding.fault]
    if not findings:
        faults = ["  the model has no signature: nothing was tested"]
    if latency is not None and settings.max_p99_ms is not None and latency.p99 > settings.max_p99_ms:
        faults = [f"  p99 of {latency.requests} requests is {latency.p99:.2f} ms, above {settings.max_p99_ms:g}"]
    if faults:
        lines = [f"the serving canary refuses the model, served by {os.path.basename(serving_binary())}:", *faults]
        raise ModelRefused("\n".join([*lines, "It was not published; the canary's section is publish.canary."]))


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
