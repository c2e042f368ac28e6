"""Publishes the model if the Evaluator blessed it."""

from __future__ import annotations

import os
from typing import Any

from tfx import types
from tfx.components.pusher import executor
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils
from tfx.utils import proto_utils

from components.pusher.publish import newest_if_same, publish, retire

PUSHED_PROPERTY = "pushed"
DESTINATION_PROPERTY = "pushed_destination"
REUSED_PROPERTY = "reused"


class Executor(executor.Executor):
    """TFX's Pusher executor with a staged copy, small version numbers and retention.

    The metadata cannot know what happened to the directory since the last run (a version removed, a newer one published
    by another run), so this node is never cached: it looks, and leaves a newest version alone that is the same model.
    """

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Publishes `model` below `push_destination`; marks `pushed_model` as pushed or not, with version and path."""
        pushed_model = artifact_utils.get_single_instance(output_dict["pushed_model"])
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed_model)
            return
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(exec_properties["push_destination"], destination)
        directory = destination.filesystem.base_directory
        model = self.GetModelPath(input_dict)
        version = newest_if_same(model, directory)
        pushed_model.set_int_custom_property(REUSED_PROPERTY, int(version is not None))
        if version is None:
            version = publish(model, directory)
            retire(directory, int(exec_properties["keep"]))
        self._MarkPushed(pushed_model, os.path.join(directory, str(version)), str(version))
