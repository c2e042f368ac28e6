"""Withdrawn versions, as ML Metadata records them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ml_metadata as mlmd

ROLLBACK = "kindred.Rollback"
"""The type of the executions that withdraw or restore a version."""

PUSHED_MODEL = "PushedModel"
DESTINATION_PROPERTY = "pushed_destination"
_MODEL_INPUT = "model"


def withdrawals(store: mlmd.MetadataStore) -> dict[str, str]:
    """Returns when and why versions were withdrawn that were not restored since, by path or URL."""
    from ml_metadata import errors
    from ml_metadata.proto import metadata_store_pb2

    try:
        executions = store.get_executions_by_type(ROLLBACK)
    except errors.NotFoundError:
        return {}
    withdrawn: dict[str, str] = {}
    for execution in sorted(executions, key=lambda execution: execution.id):
        if execution.last_known_state == metadata_store_pb2.Execution.COMPLETE:
            values = execution.custom_properties
            path = os.path.join(values["directory"].string_value, str(values["version"].int_value))
            if values["undo"].int_value:
                withdrawn.pop(path, None)
            else:
                reason = (values["when"].string_value, values["reason"].string_value)
                withdrawn[path] = ": ".join(filter(None, reason))
    return withdrawn


def withdrawn_models(store: mlmd.MetadataStore) -> set[int]:
    """Returns the ids of the model artifacts that were published as withdrawn versions."""
    from ml_metadata.proto import metadata_store_pb2

    destinations = withdrawals(store)
    if not destinations:
        return set()
    pushed = [
        artifact.id
        for artifact in store.get_artifacts_by_type(PUSHED_MODEL)
        if artifact.custom_properties[DESTINATION_PROPERTY].string_value in destinations
    ]
    pushers = {
        event.execution_id
        for event in store.get_events_by_artifact_ids(pushed)
        if event.type == metadata_store_pb2.Event.OUTPUT
    }
    return {
        event.artifact_id
        for event in store.get_events_by_execution_ids(sorted(pushers))
        if event.type == metadata_store_pb2.Event.INPUT and event.path.steps[0].key == _MODEL_INPUT
    }
