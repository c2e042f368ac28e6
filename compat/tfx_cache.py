"""TFX: keys of the cache that do not depend on where the working copy of a root is.

Versions: tfx 1.21. With other versions, a working copy at another path on another machine runs all nodes again.

Reason: the key of an execution has the URIs of its inputs, which are paths below the root. The working copy of a root
in an object store is at another path on each machine. Ids and digests of inputs stay in the key.

Upstream: `tfx/orchestration/portable/cache_utils.py`, `get_cache_context`.
"""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from compat.imports import is_version

TESTED = "1.21."


@contextlib.contextmanager
def keys_without(folder: str) -> Iterator[None]:
    """Leaves `folder` out of the URIs and properties of inputs, and out of parameters, in all keys of the block."""
    from tfx.orchestration.portable import cache_utils

    if not is_version("tfx", TESTED):
        yield
        return
    original = cache_utils.get_cache_context

    @functools.wraps(original)
    def without_folder(
        *,
        input_artifacts: Mapping[str, Sequence[Any]] | None = None,
        parameters: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> Any:
        return original(
            input_artifacts={
                key: [_moved(artifact, folder) for artifact in group] for key, group in (input_artifacts or {}).items()
            },
            parameters={key: str(value).replace(folder, "") for key, value in (parameters or {}).items()},
            **others,
        )

    cache_utils.get_cache_context = without_folder
    try:
        yield
    finally:
        cache_utils.get_cache_context = original


def _moved(artifact: Any, folder: str) -> Any:
    moved = copy.deepcopy(artifact)
    moved.uri = str(moved.uri).removeprefix(folder)
    for value in moved.mlmd_artifact.custom_properties.values():
        if value.WhichOneof("value") == "string_value":
            value.string_value = value.string_value.removeprefix(folder)
    return moved
