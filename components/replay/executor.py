"""Replays the requests of a log against the candidate and the served version."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tfx.proto import pusher_pb2
from tfx.utils import path_utils, proto_utils

from components.execution import ExecutionArguments, ExecutorBase
from components.pusher.destination import open_versions
from components.pusher.versions import Versions
from components.replay.comparison import compare
from components.replay.rules import judge
from components.replay.sample import Sample, read_sample
from components.replay.settings import ReplaySettings
from components.request_logs import log_files
from components.serving_canary.executor import BLESSED_PROPERTY
from components.serving_canary.trained import Trained
from errors import ModelRefused
from storage.settings import StorageSettings

REPORT_FILE = "replay.json"


class Executor(ExecutorBase):
    """Executor of ReplayCheck.

    TFX does not cache this node, because the log and the destination change without a record.
    """

    def execute(self, execution: ExecutionArguments) -> None:
        """Blesses the model if every rule holds. Leaves a model unblessed that the canary did not bless.

        Raises:
          ModelRefused: a rule does not hold.
          StoreError, StoreUnavailable: a store refuses a request, cannot be reached, or fails.
          OSError: the log or the served version cannot be read.
        """
        blessing = execution.output("blessing")
        if not execution.input("infra_blessing").get_int_custom_property(BLESSED_PROPERTY):
            blessing.set_int_custom_property(BLESSED_PROPERTY, 0)
            return
        settings = execution.settings(ReplaySettings)
        storage = StorageSettings.model_validate_json(execution.parameters["storage"])
        name = settings.model or str(execution.parameters["pipeline"])
        with log_files(settings.log, storage) as files:
            sample = read_sample(files, name, settings.requests)
        model = path_utils.serving_model_path(execution.input("model").uri)
        with _served(_versions(execution, storage), model) as (served, why_not):
            result = {"log": settings.log, "model": name, **_counts(sample)}
            if nothing := why_not or _why_empty(sample, settings.log, name):
                result["nothing"] = nothing
            elif served:
                found = compare(Trained(model), Trained(served[1]), sample.requests)
                result |= {"served": served[0], **found.figures()}
        if why_not:
            result["rules"] = []  # the first version of a root must not wait for requests to an earlier one
        else:
            _judge(result, settings)
        _write(blessing.uri, result)
        blessing.set_int_custom_property(BLESSED_PROPERTY, 1)


def _versions(execution: ExecutionArguments, storage: StorageSettings) -> Versions:
    destination = pusher_pb2.PushDestination()
    proto_utils.json_to_proto(execution.parameters["push_destination"], destination)
    return open_versions(destination.filesystem.base_directory, str(execution.parameters["pipeline"]), storage)


@contextlib.contextmanager
def _served(versions: Versions, model: str) -> Iterator[tuple[tuple[int, str] | None, str | None]]:
    """Yields number and local path of the version to compare with, or why there is none.

    A server falls back to the newest version that is whole, so that is the one to compare with.
    """
    newest = next((number for number in reversed(versions.published()) if not versions.damage(number)), None)
    if newest is None:
        yield None, "there is no earlier version to compare with"
    elif newest == versions.newest_if_same(model):
        yield None, f"the candidate is the served version {newest}"
    else:
        with versions.local(newest) as path:
            yield (newest, path), None


def _why_empty(sample: Sample, log: str, name: str) -> str | None:
    """Returns why a log has no request to replay, or None."""
    if sample.requests:
        return None
    if not sample.files:
        return f"no file begins with {log}"
    if sample.others:
        others = ", ".join(f"{count:,} of {other or 'no name'}" for other, count in sample.others.most_common(3))
        return f"the log has no request of the model {name}, but {others}. Set publish.replay.model"
    return f"the log has no Predict request in {sample.files:,} files"


def _counts(sample: Sample) -> dict[str, Any]:
    return {
        "files": sample.files,
        "records": sample.records,
        "damaged_files": sample.damaged,
        "foreign_records": sample.foreign,
        "of_other_models": sample.others.total(),
    }


def _judge(result: dict[str, Any], settings: ReplaySettings) -> None:
    """Adds the results of the rules.

    Raises:
      ModelRefused: a rule does not hold.
    """
    rules = judge(result, settings)
    result["rules"] = [rule.record() for rule in rules]
    if all(rule.ok for rule in rules):
        return
    lines = [f"  {rule}" for rule in rules if not rule.ok]
    if "nothing" in result:
        lines.append(f"  Nothing was replayed: {result['nothing']}")
    elif "fault" in result:
        lines.append(f"  The first request that the candidate refuses: {result['fault']}")
    against = f"version {result['served']}" if "served" in result else "the served version"
    raise ModelRefused(
        "\n".join(
            [
                f"the replay of logged requests refuses the model. Compared with {against}:",
                *lines,
                "The model was not published. The rules are in publish.replay.",
            ]
        ),
        replay=result,
    )


def _write(uri: str, result: dict[str, Any]) -> None:
    tf.io.gfile.makedirs(uri)
    with tf.io.gfile.GFile(os.path.join(uri, REPORT_FILE), "w") as out:
        json.dump(result, out, indent=1)
