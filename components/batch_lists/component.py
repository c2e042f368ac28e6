"""BatchLists: lists of the best entities for all entities, as TFX's BulkInferrer would infer them."""

from __future__ import annotations

from tfx.dsl.components.base import base_beam_component
from tfx.types import standard_artifacts

from components.artifacts import RankedLists
from components.batch_lists.executor import Executor
from components.batch_lists.settings import BatchSettings
from components.declaration import Component, Input
from storage.settings import StorageSettings


class BatchLists(Component, base_beam_component.BaseBeamComponent, executor=Executor):
    """Ranks all entities with a published model, and writes the lists.

    Args:
      model: `Model` that was published.
      examples: `Examples` with the pairs that lists leave out.
      pushed_model: `PushedModel` of VersionPusher. Without a version in it, nothing is written.
      settings: which lists to write.
      directory: folder of the lists of all versions, or its URL.
      pipeline: name of the pipeline.
      keep: number of versions whose lists are kept.
      storage: how the store of a URL is reached.

    Outputs:
      lists: `RankedLists`, with a folder for each kind of lists, and `lists.json`.
    """

    OUTPUTS = {"lists": RankedLists}

    model: Input[standard_artifacts.Model]
    examples: Input[standard_artifacts.Examples]
    pushed_model: Input[standard_artifacts.PushedModel]
    settings: BatchSettings = BatchSettings()
    directory: str
    pipeline: str
    keep: int = 5
    storage: StorageSettings = StorageSettings()
