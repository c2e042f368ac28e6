"""Publishes the model if the Evaluator blessed it."""

from __future__ import annotations

import os

from tfx import types
from tfx.components.pusher import executor
from tfx.proto import pusher_pb2
from tfx.utils import proto_utils

from components.execution import ExecutionArguments, ExecutorBase
from components.model_card.card import CARD_FILE
from components.pair_example_gen.files import is_remote
from components.pusher.destination import open_versions, refuse_foreign
from components.pusher.versions import Versions
from errors import ModelRefused
from kindred import advice
from storage.settings import StorageSettings

PUSHED_PROPERTY = "pushed"
REUSED_PROPERTY = "reused"
DAMAGED_PROPERTY = "damaged"
AWAITING_PROPERTY = "awaiting_approval"


class Executor(ExecutorBase, executor.Executor):
    """TFX's Pusher executor with a staged copy, small version numbers and retention.

    This node is never cached, because the metadata store does not record later changes in the directory, such as a
    removed version or a newer one of another run. The node publishes nothing if the newest version is the same model.
    """

    def execute(self, execution: ExecutionArguments) -> None:
        """Publishes `model` below `push_destination`. Marks `pushed_model` as pushed or not, with version and path.

        Raises:
          ModelRefused: the same model was rolled back.
          ConfigError: the destination has versions of others.
          OSError, StoreError, StoreUnavailable: the copy failed.
        """
        pushed_model = execution.output("pushed_model")
        if not self.CheckBlessing(execution.inputs):
            self._MarkNotPushed(pushed_model)
            return
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(execution.parameters["push_destination"], destination)
        directory = destination.filesystem.base_directory
        pipeline = str(execution.parameters["pipeline"])
        versions = open_versions(
            directory, pipeline, StorageSettings.model_validate_json(execution.parameters["storage"])
        )
        refuse_foreign(versions, pipeline)
        model = self.GetModelPath(execution.inputs)
        version = versions.newest_if_same(model)
        pushed_model.set_int_custom_property(REUSED_PROPERTY, int(version is not None))
        awaits = bool(execution.parameters["approve"]) and version is None
        if awaits:
            version = versions.awaiting_if_same(model)
        if version is None:
            version = self._publish(execution, versions, model, awaits)
        if awaits:
            versions.supersede(version)
            self._MarkNotPushed(pushed_model)
            pushed_model.set_int_custom_property(AWAITING_PROPERTY, version)
        else:
            self._MarkPushed(pushed_model, os.path.join(directory, str(version)), str(version))

    def _publish(self, execution: ExecutionArguments, versions: Versions, model: str, awaits: bool) -> int:
        """Copies the model to the next version, and retires old ones. Returns the number."""
        pushed_model = execution.output("pushed_model")
        newest = max(versions.published(), default=0)
        if newest and (wrong := versions.damage(newest)):
            pushed_model.set_string_custom_property(DAMAGED_PROPERTY, f"{newest}/{wrong}")
        _refuse_withdrawn(versions.withdrawn_if_same(model), versions.directory, _root(pushed_model))
        card = execution.optional_input("card")
        version = versions.publish(model, os.path.join(card.uri, CARD_FILE) if card else None, awaits)
        versions.retire(int(execution.parameters["keep"]))
        return version


def _root(output: types.Artifact) -> str:
    """Returns the root of the pipeline's runs: TFX writes to ROOT/pipeline/NODE/KEY/EXECUTION."""
    return os.path.dirname(str(output.uri).rsplit("/", 3)[0])


def _refuse_withdrawn(version: int | None, directory: str, root: str) -> None:
    """Refuses a model that was rolled back, so that an unchanged run does not publish it again."""
    if version is not None:
        to = directory if is_remote(directory) else os.path.relpath(directory, root)
        raise ModelRefused(
            f"the same model, version {version} of {directory}, was rolled back. "
            f"Change the data or the pipeline file, or restore it with {advice.restore_version(root, to)}"
        )
