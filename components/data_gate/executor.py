"""Checks the data, stops the run if a rule is broken, and records the decision."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import tensorflow as tf
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.types import artifact_utils

from components.data_gate import rules
from components.data_gate.rules import Check
from components.data_gate.settings import GateSettings
from components.execution import ExecutionArguments, ExecutorBase
from components.pair_statistics import entity_features
from components.pair_statistics.distribution import Distribution
from components.pair_statistics.executor import read_split
from errors import DataRefused
from kindred import advice
from trainer.data.examples import Examples

DECISION_FILE = "decision.json"
STATISTICS_PROPERTY = "statistics_uri"
ACCEPTED_PROPERTY = "accepted_anomalies"
_SHOWN_ROWS = 3


class Executor(ExecutorBase):
    """Executor of DataGate."""

    def execute(self, execution: ExecutionArguments) -> None:
        """Writes the decision.

        Raises:
          DataRefused: a rule is broken and there is no `accept_reason`. The message has each feature, rule and figure,
            and example rows.
        """
        statistics, decision = execution.input("statistics"), execution.output("decision")
        splits = read_splits(statistics)
        reference = _last_accepted(execution.optional_input("last_decision"))
        settings = execution.settings(GateSettings)
        checks = list(_checks(splits, execution.input("anomalies"), reference, settings))
        last = _last_statistics(execution.optional_input("last_decision"))
        accepted = entity_features.read(last) if last else {}
        checks += rules.check_features(entity_features.read(statistics.uri), accepted, settings)
        broken = [check for check in checks if not check.ok]
        reason = execution.parameters.get("accept_reason") or ""
        if broken and not reason:
            examples = execution.input("examples").uri
            facts = _record(checks, reference is not None, None)
            raise DataRefused("\n".join([*(_describe(check, examples) for check in broken), _advice()]), facts)
        decision.set_string_custom_property(STATISTICS_PROPERTY, statistics.uri)
        if broken:
            decision.set_string_custom_property(ACCEPTED_PROPERTY, reason)
        _write(decision.uri, _record(checks, reference is not None, reason if broken else None))


def _advice() -> str:
    return (
        "Repair the data, change the bound in the pipeline file, or accept the data for this run: "
        f"{advice.accept_data()}"
    )


def read_splits(statistics: types.Artifact) -> dict[str, Distribution]:
    """Returns the distribution of each split of a statistics artifact."""
    return {
        split: read_split(statistics.uri, split) for split in artifact_utils.decode_split_names(statistics.split_names)
    }


def _last_accepted(decision: types.Artifact | None) -> dict[str, Distribution] | None:
    """Returns the distributions that the last decision accepted, or None if there are none or they were deleted."""
    uri = _last_statistics(decision)
    if uri is None:
        return None
    folder = os.path.join(uri, "distributions")
    return {split.rstrip("/"): read_split(uri, split.rstrip("/")) for split in sorted(tf.io.gfile.listdir(folder))}


def _last_statistics(decision: types.Artifact | None) -> str | None:
    """Returns the URI of the statistics that the last decision accepted, or None if there are none any more."""
    uri = decision.get_string_custom_property(STATISTICS_PROPERTY) if decision else ""
    return uri if uri and tf.io.gfile.isdir(os.path.join(uri, "distributions")) else None


def _checks(
    splits: dict[str, Distribution],
    anomalies: types.Artifact,
    reference: dict[str, Distribution] | None,
    settings: GateSettings,
) -> Iterator[Check]:
    found = list(rules.check_splits(splits, settings))
    yield from found
    if not all(split.rows for split in splits.values()):
        return
    yield from rules.check_anomalies(_read_anomalies(anomalies))
    yield from rules.check_skew(splits, settings)
    if reference is not None:
        yield from rules.check_drift(splits, reference, settings)


def _read_anomalies(artifact: types.Artifact) -> dict[str, anomalies_pb2.Anomalies]:
    found = {}
    for split in artifact_utils.decode_split_names(artifact.split_names):
        with tf.io.gfile.GFile(os.path.join(artifact.uri, f"Split-{split}", "SchemaDiff.pb"), "rb") as source:
            found[split] = anomalies_pb2.Anomalies.FromString(source.read())
    return found


def _describe(check: Check, examples_uri: str) -> str:
    """Returns the message of a broken rule, with example rows."""
    lines = [f"{check.rule}: {check.words}"]
    if check.rows is not None:
        shown = _first_rows(examples_uri, check.rows)
        lines += ["    " + ", ".join(row) for row in shown]
    return "\n".join(lines)


def _first_rows(examples_uri: str, rows: rules.RowFilter) -> list[list[str]]:
    """Returns the values of the first examples that `rows` selects, as text."""
    examples = Examples(examples_uri)
    shown: list[list[str]] = []
    for block in examples.blocks(rows.split):
        found = block.take(rules.matching_rows(examples, block, rows)[: _SHOWN_ROWS - len(shown)])
        left, right = examples.left.ids.take(pa.array(found.left)), examples.right.ids.take(pa.array(found.right))
        columns = [left.to_pylist(), right.to_pylist(), *([] if found.score is None else [found.score.tolist()])]
        shown += [[_as_text(value) for value in row] for row in zip(*columns, strict=True)]
        if len(shown) == _SHOWN_ROWS:
            break
    return shown


def _as_text(value: bytes | float) -> str:
    return repr(value.decode()) if isinstance(value, bytes) else f"{value:g}"


def _record(checks: list[Check], compared: bool, reason: str | None) -> dict[str, Any]:
    return {
        "checks": [check.record() for check in checks],
        "compared_with_last_accepted": compared,
        "accepted_anomalies": reason,
    }


def _write(uri: str, record: dict[str, Any]) -> None:
    with tf.io.gfile.GFile(os.path.join(uri, DECISION_FILE), "w") as out:
        json.dump(record, out, indent=1)
