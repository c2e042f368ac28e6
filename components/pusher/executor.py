"""Publishes the model if the Evaluator blessed it."""

from __future__ import annotations

import os
from typing import Any

from tfx import types
from tfx.components.pusher import executor
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils
from tfx.utils import proto_utils

from components.model_card.card import CARD_FILE
from components.pusher import places
from errors import ModelRefused
from kindred.invocation import command

PUSHED_PROPERTY = "pushed"
DESTINATION_PROPERTY = "pushed_destination"
REUSED_PROPERTY = "reused"


class Executor(executor.Executor):
    """TFX's Pusher executor with a staged copy, small version numbers and retention.

    This node is never cached, because the metadata store does not know about changes in the directory since the last
    run,
    such as a removed version or a newer one of another run. The node publishes nothing if the newest version is the
    same
    model.
    """

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Publishes `model` below `push_destination`. Marks `pushed_model` as pushed or not, with version and path.

        Raises:
          ModelRefused: the same model was rolled back.
          OSError: the copy failed.
        """
        pushed_model = artifact_utils.get_single_instance(output_dict["pushed_model"])
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed_model)
            return
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(exec_properties["push_destination"], destination)
        directory = destination.filesystem.base_directory
        versions = places.at(directory)
        model = self.GetModelPath(input_dict)
        version = versions.newest_if_same(model)
        pushed_model.set_int_custom_property(REUSED_PROPERTY, int(version is not None))
        if version is None:
            _refuse_withdrawn(versions.withdrawn_if_same(model), directory, _root(pushed_model))
            version = versions.publish(model, _card(input_dict))
            versions.retire(int(exec_properties["keep"]))
        self._MarkPushed(pushed_model, os.path.join(directory, str(version)), str(version))


def _card(input_dict: dict[str, list[types.Artifact]]) -> str | None:
    """Returns the path of the model card, or None if there is no card."""
    if not input_dict.get("card"):
        return None
    return os.path.join(artifact_utils.get_single_uri(input_dict["card"]), CARD_FILE)


def _root(output: types.Artifact) -> str:
    """Returns the root of the pipeline's runs: TFX writes to ROOT/pipeline/NODE/KEY/EXECUTION."""
    return os.path.dirname(str(output.uri).rsplit("/", 3)[0])


def _refuse_withdrawn(version: int | None, directory: str, root: str) -> None:
    """Refuses a model that was rolled back, so that an unchanged run does not publish it again."""
    if version is not None:
        to = directory if places.is_remote(directory) else os.path.relpath(directory, root)
        undo = command("rollback", "--undo", "--root", root, *(["--to", to] if to != "serving" else []))
        raise ModelRefused(
            f"the same model, version {version} of {directory}, was rolled back. "
            f"Change the data or the pipeline file, or restore it with `{undo}`"
        )
