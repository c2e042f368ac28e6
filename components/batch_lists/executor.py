"""Ranks all entities with the published model, and writes the lists."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path

import apache_beam as beam
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.utils import path_utils

from components.batch_lists import folder
from components.batch_lists.folder import Manifest
from components.batch_lists.settings import BatchSettings
from components.batch_lists.stored import open_lists
from components.batch_lists.work import RankPart, parts_of, read_counts
from components.execution import ExecutionArguments, ExecutorBase
from components.pusher.executor import AWAITING_PROPERTY, PUSHED_PROPERTY
from components.threads import Threaded
from kindred import progress
from kindred.manifest import model_digests
from storage.settings import StorageSettings

REUSED_PROPERTY = "reused"
VERSION_PROPERTY = "version"
_PUSHED_VERSION = "pushed_version"


class Executor(ExecutorBase, base_beam_executor.BaseBeamExecutor):
    """Executor of BatchLists. See there for inputs and outputs.

    TFX does not cache this node, because the metadata store does not record later changes in the folder of the lists.
    The node keeps the lists of a version that were made of the same model, pairs, settings and code.
    """

    def execute(self, execution: ExecutionArguments) -> None:
        """Writes `lists` and the same files to the folder of the version. Without a version, writes nothing.

        Raises:
          OSError: the lists cannot be written.
          StoreError, StoreUnavailable: the object store of the root refuses a request, cannot be reached, or fails.
        """
        lists, pushed = execution.output("lists"), execution.input("pushed_model")
        version = _version(pushed)
        if version is None:
            return
        model = path_utils.serving_model_path(execution.input("model").uri)
        storage = StorageSettings.model_validate_json(execution.parameters["storage"])
        made = open_lists(str(execution.parameters["directory"]), storage)
        key = _key(execution, model)
        is_kept = made.reuse(version, key, Path(lists.uri))
        if not is_kept:
            self._make(execution, model, version, key)
            made.publish(version, Path(lists.uri))
        if pushed.get_int_custom_property(PUSHED_PROPERTY):
            made.point(version)
        made.retire(int(execution.parameters["keep"]))
        lists.set_int_custom_property(VERSION_PROPERTY, version)
        lists.set_int_custom_property(REUSED_PROPERTY, int(is_kept))

    def _make(self, execution: ExecutionArguments, model: str, version: int, key: str) -> None:
        settings, output = execution.settings(BatchSettings), Path(execution.output("lists").uri)
        with tempfile.TemporaryDirectory(prefix=".counts-", dir=output.parent) as counts:
            work = RankPart(model, execution.input("examples").uri, str(output), counts, settings.model_dump_json())
            parts = parts_of(model, settings)
            with (
                progress.counted("lists", sum(part.end - part.first for part in parts)),
                self._make_beam_pipeline() as pipeline,
            ):
                _ = pipeline | beam.Create(parts, reshuffle=True) | beam.ParDo(Threaded(work, threads=1))
            written = read_counts(counts)
        manifest = Manifest(
            key=key,
            version=version,
            pipeline=str(execution.parameters["pipeline"]),
            settings=settings.model_dump(mode="json"),
            lists={lists: written[lists] for lists in settings.lists},
            files=folder.digests_of(output),
        )
        manifest.write(output)


def _version(pushed: types.Artifact) -> int | None:
    """Returns the number of the version that is published, or awaits approval, or None if the model was refused."""
    if pushed.get_int_custom_property(PUSHED_PROPERTY):
        return int(pushed.get_string_custom_property(_PUSHED_VERSION))
    return pushed.get_int_custom_property(AWAITING_PROPERTY) or None


def _key(execution: ExecutionArguments, model: str) -> str:
    """Returns a digest of all that determines the lists."""
    examples, code = execution.input("examples").uri, execution.parameters.get("code")
    made_of = [model_digests(model), examples, execution.parameters["settings"], code]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
