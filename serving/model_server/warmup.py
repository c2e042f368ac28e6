"""Warm-up: replays the requests that are published with a version before the version serves."""

from __future__ import annotations

import os
import time
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from serving.model_server.calls import unlimited
from serving.model_server.faults import Code, Fault, fault_of, invalid
from serving.model_server.inference import Inference
from serving.model_server.metrics import ServerMetrics
from serving.model_server.servable import Servable

REQUESTS = os.path.join("assets.extra", "tf_serving_warmup_requests")
_MAX_RECORDS = 1000


def warm_up(servable: Servable, inference: Inference, metrics: ServerMetrics, iterations: int = 1) -> int:
    """Replays the warm-up requests of a model.

    Args:
      servable: the model.
      inference: runs the requests.
      metrics: records the number and the latency of the requests.
      iterations: the number of times to replay each request.

    Returns:
      The number of requests.

    Raises:
      Fault: the file is not a TFRecord file of PredictionLogs, or a request fails. Such a version must not serve.
    """
    path = os.path.join(servable.path, REQUESTS)
    if not tf.io.gfile.exists(path):
        return 0
    started, count, status = time.perf_counter(), 0, Code.OK
    try:
        for log in _read(path):
            count += 1
            for _ in range(max(iterations, 1)):
                _replay(servable, inference, log)
    except Exception as error:  # the version must not serve, whatever the error
        fault = fault_of(error)
        status = fault.code
        raise Fault(fault.code, f"warm-up request {max(count, 1)} of {path}: {fault.message}") from None
    finally:
        metrics.warmup_records.add(servable.path, status.name, by=count)
        metrics.warmup_latency.labels(servable.path, status.name).observe((time.perf_counter() - started) * 1e6)
    return count


def _read(path: str) -> list[Any]:
    logs = []
    for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog()
        try:
            log.ParseFromString(record)
        except DecodeError:
            raise invalid("Failed to parse warmup record") from None
        logs.append(log)
    if len(logs) > _MAX_RECORDS:
        raise invalid(f"Number of warmup records exceeds the maximum ({_MAX_RECORDS})")
    return logs


def _replay(servable: Servable, inference: Inference, log: Any) -> None:
    kind = log.WhichOneof("log_type")
    request: Any = getattr(log, kind).request if kind else None
    call = unlimited()
    if kind == "predict_log":
        inference.predict_protos(call, servable, request)
    elif kind == "classify_log":
        inference.classify(call, servable, request.model_spec.signature_name, request.input)
    elif kind == "regress_log":
        inference.regress(call, servable, request.model_spec.signature_name, request.input)
    elif kind == "multi_inference_log":
        inference.multi_inference(call, servable, request)
    elif kind:
        raise Fault(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")
