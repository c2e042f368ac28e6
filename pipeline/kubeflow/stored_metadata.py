"""ML Metadata of a root in an object store: URLs in the service, and paths of the working copy in this process.

Each pod has its own working copy, so a path of one means nothing to the next. TFX reads and writes local paths, and its
components stay as they are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata

from pipeline.kubeflow.metadata import PatientStore
from pipeline.records.root import Root

_Artifact, _Execution = metadata_store_pb2.Artifact, metadata_store_pb2.Execution
_ARTIFACTS = "/pipeline/"  # `Root.artifacts`. The place of a published version stays a URL


def opener(root: Root) -> Callable[..., Any] | None:
    """Returns what opens ML Metadata for a root in a store, or None for a directory."""
    stored = root.identity
    return functools.partial(StoredRootMetadata, folder=root.path, url=stored.url) if stored else None


class StoredRootMetadata(PatientStore):
    """A store whose artifacts have URLs in the service, and paths in this process.

    Args:
      config: connects to ML Metadata.
      folder: the working copy.
      url: the root.
    """

    def __init__(self, config: metadata.ConnectionConfigType, folder: Path, url: str) -> None:
        super().__init__(config)
        self._folder, self._url = str(folder), url

    def __getattribute__(self, name: str) -> Any:
        method = super().__getattribute__(name)
        if not name.startswith(("get_", "put_")):
            return method

        @functools.wraps(method)
        def translated(*arguments: Any, **options: Any) -> Any:
            answer = method(
                *(self._to_service(value) for value in arguments),
                **{key: self._to_service(value) for key, value in options.items()},
            )
            for found in _messages(answer):
                self._to_here(found)
            return answer

        return translated

    def _to_service(self, value: Any) -> Any:
        """Returns a copy with URLs. The caller keeps its paths."""
        if isinstance(value, str):
            return value.replace(f"{self._folder}/", f"{self._url}/")
        if isinstance(value, list | tuple):
            return type(value)(self._to_service(item) for item in value)
        if isinstance(value, _Artifact | _Execution):
            copy = type(value)()
            copy.CopyFrom(value)
            _replace(copy, f"{self._folder}/", f"{self._url}/")
            return copy
        return value

    def _to_here(self, found: Any) -> None:
        """Replaces URLs by paths. Makes a folder for each artifact: TFX's cache finds only those with one."""
        _replace(found, f"{self._url}{_ARTIFACTS}", f"{self._folder}{_ARTIFACTS}")
        if isinstance(found, _Artifact) and found.state == _Artifact.LIVE and found.uri.startswith(self._folder):
            Path(found.uri).mkdir(parents=True, exist_ok=True)


def _replace(message: Any, old: str, new: str) -> None:
    """Replaces a text in the URI and in the properties of an artifact or execution."""
    if isinstance(message, _Artifact):
        message.uri = message.uri.replace(old, new)
    for value in (*message.properties.values(), *message.custom_properties.values()):
        if value.WhichOneof("value") == "string_value" and old in value.string_value:
            value.string_value = value.string_value.replace(old, new)


def _messages(answer: Any) -> Iterator[Any]:
    """Yields the artifacts and executions in the answer of a call."""
    if isinstance(answer, _Artifact | _Execution):
        yield answer
    elif isinstance(answer, metadata_store_pb2.LineageGraph):
        yield from (*answer.artifacts, *answer.executions)
    elif isinstance(answer, list | tuple):
        for item in answer:
            yield from _messages(item)
