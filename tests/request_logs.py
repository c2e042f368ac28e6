"""Writes request logs with planted requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2


def logged(
    signature: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None = None, model: str = "films",
    version: int = 1, moment: int = 0,
) -> bytes:  # fmt: skip
    """Returns a record, as a server writes it.

    Args:
      signature: name of the signature.
      inputs: columns by name of the input. Ids are bytes.
      outputs: columns of the answer.
      model: name of the model.
      version: the version that answered.
      moment: seconds since 1970.
    """
    log = prediction_log_pb2.PredictionLog()
    log.log_metadata.timestamp_secs = moment
    log.predict_log.request.model_spec.name = model
    log.predict_log.request.model_spec.signature_name = signature
    log.predict_log.response.model_spec.name = model
    log.predict_log.response.model_spec.version.value = version
    for name, value in inputs.items():
        log.predict_log.request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    for name, value in (outputs or {}).items():
        log.predict_log.response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
    return log.SerializeToString()


def write_log(path: Path, records: Sequence[bytes]) -> None:
    """Writes a file of records."""
    with tf.io.TFRecordWriter(str(path)) as out:
        for record in records:
            out.write(record)
