"""Reads anomalies and statistics, applies the rules, and stops the run where one is broken."""

from __future__ import annotations

import json
import os
from typing import Any

import tensorflow as tf
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.data_gate.rules import broken_rules, row_count
from components.errors import DataRefused

DECISION_FILE = "decision.json"


class Executor(base_executor.BaseExecutor):
    """Executor of DataGate."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the decision.

        Raises:
          DataRefused: a rule is broken; names each feature, rule and figure.
        """
        anomalies = _read(input_dict["anomalies"], "SchemaDiff.pb", anomalies_pb2.Anomalies)
        statistics = _read(input_dict["statistics"], "FeatureStats.pb", statistics_pb2.DatasetFeatureStatisticsList)
        broken = broken_rules(anomalies, statistics)
        if broken:
            raise DataRefused("\n".join(broken))
        decision = artifact_utils.get_single_instance(output_dict["decision"])
        record = {"accepted": True, "rows": {split: row_count(stats) for split, stats in statistics.items()}}
        with tf.io.gfile.GFile(os.path.join(decision.uri, DECISION_FILE), "w") as out:
            json.dump(record, out)


def _read(artifacts: list[types.Artifact], file: str, proto: type[Any]) -> dict[str, Any]:
    """The binary proto `file` of each split."""
    artifact = artifact_utils.get_single_instance(artifacts)
    found = {}
    for split in artifact_utils.decode_split_names(artifact.split_names):
        with tf.io.gfile.GFile(os.path.join(artifact.uri, f"Split-{split}", file), "rb") as source:
            found[split] = proto.FromString(source.read())
    return found
