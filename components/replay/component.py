"""ReplayCheck: replays logged requests before a model is published."""

from __future__ import annotations

from tfx.proto import pusher_pb2
from tfx.types import standard_artifacts

from components.declaration import Component, Input
from components.replay.executor import Executor
from components.replay.settings import ReplaySettings
from storage.settings import StorageSettings


class ReplayCheck(Component, executor=Executor):
    """Compares the answers of a candidate with those of the served version, on requests of a log.

    Args:
      model: `Model`, the candidate.
      infra_blessing: `InfraBlessing` of the serving canary. A model that it does not bless is not compared.
      push_destination: where the served version is, from `push_destination` of the Pusher.
      pipeline: name of the pipeline.
      settings: the log, and the rules.
      storage: how an object store is reached.

    Outputs:
      blessing: `InfraBlessing` for the Pusher, with `replay.json`.
    """

    OUTPUTS = {"blessing": standard_artifacts.InfraBlessing}

    model: Input[standard_artifacts.Model]
    infra_blessing: Input[standard_artifacts.InfraBlessing]
    push_destination: pusher_pb2.PushDestination
    pipeline: str
    settings: ReplaySettings
    storage: StorageSettings = StorageSettings()
