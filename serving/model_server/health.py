"""The standard health service of gRPC (grpc.health.v1), and a clear refusal of the profiler's service.

The names of services are those of TensorFlow Serving's `server.cc`: the empty name is the whole server.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

SERVICE = "grpc.health.v1.Health"
_NAMES = ("", "ModelService", "PredictionService")
_SERVING, _NOT_SERVING, _UNKNOWN_SERVICE = 1, 2, 3
_PROFILER = ("Profile", "Terminate", "Monitor")
_LOOK_SECONDS = 0.5


def _messages() -> dict[str, Any]:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="grpc/health.proto", package="grpc.health.v1", syntax="proto3")
    request = file.message_type.add(name="HealthCheckRequest")
    request.field.add(name="service", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    response = file.message_type.add(name="HealthCheckResponse")
    # An enumeration, which has the encoding of an int32.
    response.field.add(name="status", number=1, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    names = ("HealthCheckRequest", "HealthCheckResponse")
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"grpc.health.v1.{name}")) for name in names
    }


class Health:
    """Reports that the server serves, until `stop`.

    Args:
      watchers: the maximum number of Watch calls, each of which occupies a thread.
    """

    def __init__(self, watchers: int) -> None:
        self._messages = _messages()
        self._stopped = threading.Event()
        self._watchers = threading.BoundedSemaphore(max(watchers, 1))

    def stop(self) -> None:
        """Reports NOT_SERVING from now on, and ends the Watch calls."""
        self._stopped.set()

    def handler(self) -> grpc.GenericRpcHandler:
        """Returns the handler of Check and Watch."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Check": grpc.unary_unary_rpc_method_handler(self._check),
                "Watch": grpc.unary_stream_rpc_method_handler(self._watch),
            },
        )

    def _check(self, body: bytes, context: grpc.ServicerContext) -> bytes:
        status = self._status(body, context)
        if status == _UNKNOWN_SERVICE:
            context.abort(grpc.StatusCode.NOT_FOUND, "service name unknown")
        return self._response(status)

    def _watch(self, body: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        if not self._watchers.acquire(blocking=False):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many Watch calls. Call Check instead")
        try:
            status = self._status(body, context)
            yield self._response(status)
            while context.is_active():
                if self._stopped.wait(_LOOK_SECONDS):
                    if status == _SERVING:
                        yield self._response(_NOT_SERVING)
                    return
        finally:
            self._watchers.release()

    def _status(self, body: bytes, context: grpc.ServicerContext) -> int:
        try:
            name = self._messages["HealthCheckRequest"].FromString(body).service
        except DecodeError:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the message is not a HealthCheckRequest")
        if name not in _NAMES:
            return _UNKNOWN_SERVICE
        return _NOT_SERVING if self._stopped.is_set() else _SERVING

    def _response(self, status: int) -> bytes:
        return bytes(self._messages["HealthCheckResponse"](status=status).SerializeToString())


def no_profiler() -> grpc.GenericRpcHandler:
    """Returns a handler of tensorflow.ProfilerService that names the reason for its refusal."""

    def refuse(body: bytes, context: grpc.ServicerContext) -> bytes:
        message = "kindred-model-server has no ProfilerService. To profile a model, run TensorFlow Serving"
        context.abort(grpc.StatusCode.UNIMPLEMENTED, message)
        return b""

    handlers = {name: grpc.unary_unary_rpc_method_handler(refuse) for name in _PROFILER}
    return grpc.method_handlers_generic_handler("tensorflow.ProfilerService", handlers)
