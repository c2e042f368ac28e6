"""VersionPusher: implements TFX's Pusher contract and publishes with one rename."""

from __future__ import annotations

from tfx.proto import pusher_pb2
from tfx.types import standard_artifacts

from components.artifacts import CardDocument
from components.declaration import Component, Input
from components.pusher.executor import Executor
from storage.settings import StorageSettings


class VersionPusher(Component, executor=Executor):
    """Publishes a blessed model as the next version of a directory, and retires old versions.

    Args:
      model: `Model` to publish.
      push_destination: serving directory or URL, from `push_destination`. Each version is a numbered folder in it.
      pipeline: name of the pipeline. Only its own versions are retired, and others are not published next to.
      model_blessing: `ModelBlessing` of the Evaluator. Without one, every model is published.
      infra_blessing: `InfraBlessing` of the serving canary.
      card: `CardDocument` to publish with the model. The channel can be empty.
      keep: number of versions to keep.
      approve: 1 if a version awaits approval before servers see it, otherwise 0.
      storage: how the object store of a URL is reached.

    Outputs:
      pushed_model: `PushedModel`, marked as pushed or not, with version and path.
    """

    OUTPUTS = {"pushed_model": standard_artifacts.PushedModel}

    model: Input[standard_artifacts.Model]
    push_destination: pusher_pb2.PushDestination
    pipeline: str
    model_blessing: Input[standard_artifacts.ModelBlessing] | None = None
    infra_blessing: Input[standard_artifacts.InfraBlessing] | None = None
    card: Input[CardDocument] | None = None
    keep: int = 5
    approve: int = 0
    storage: StorageSettings = StorageSettings()


def push_destination(directory: str) -> pusher_pb2.PushDestination:
    """Returns TFX's message for a serving directory or URL."""
    return pusher_pb2.PushDestination(filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=directory))
