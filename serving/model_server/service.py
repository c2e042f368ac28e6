"""The part that both transports share: models, calls, limits and request metrics."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from serving.model_server.faults import Code, Fault, fault_of
from serving.model_server.hosted_models import ModelVersion
from serving.model_server.inference import Inference
from serving.model_server.metrics import ServerMetrics
from serving.model_server.model_manager import ModelManager


@dataclasses.dataclass(frozen=True)
class Limits:
    """The limits beyond which a request is refused, so that it cannot exhaust the server."""

    max_body_bytes: int = 64 << 20
    max_batch_rows: int = 100_000
    max_concurrency: int = 256
    timeout_seconds: float = 30.0


class Service:
    """The models of a server, and the operations that both transports offer."""

    def __init__(self, models: ModelManager, inference: Inference, metrics: ServerMetrics, limits: Limits) -> None:
        self.models, self.inference, self.metrics, self.limits = models, inference, metrics, limits
        self._running = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def counted(self, model: str, api: str, entrypoint: str) -> Iterator[None]:
        """Counts a request under the labels of TensorFlow Serving. Records its latency if it succeeds.

        Raises:
          Fault: the block raised an exception, which is converted.
        """
        started = time.perf_counter()
        try:
            yield
        except Exception as error:  # count every request, and give every client an answer
            fault = fault_of(error)
            self.metrics.requests.add(model, fault.code.name)
            raise fault from error
        self.metrics.requests.add(model, "OK")
        microseconds = (time.perf_counter() - started) * 1e6
        self.metrics.request_latency.labels(model, api, entrypoint).observe(microseconds)

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """Occupies one of the `max_concurrency` slots inside the block.

        Raises:
          Fault: RESOURCE_EXHAUSTED, because all slots are taken.
        """
        with self._lock:
            if self._running >= self.limits.max_concurrency:
                raise Fault(
                    Code.RESOURCE_EXHAUSTED,
                    f"the limit of {self._running} concurrent requests (--max_concurrent_requests) is reached. "
                    "Try again later",
                )
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1

    def lease(self, spec: Any) -> contextlib.AbstractContextManager[Any]:
        """Leases the servable of a ModelSpec."""
        return self.models.lease(spec.name, *version_of(spec))

    def status(self, spec: Any) -> Any:
        """Returns the GetModelStatusResponse of a ModelSpec."""
        response = get_model_status_pb2.GetModelStatusResponse()
        for version in self.models.status(spec.name, *version_of(spec)):
            response.model_version_status.append(_status(version))
        return response

    def metadata(self, spec: Any) -> Any:
        """Returns the GetModelMetadataResponse of a ModelSpec, with its signatures."""
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        with self.lease(spec) as servable:
            signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signatures)
            response.model_spec.name = servable.name
            response.model_spec.version.value = servable.version
        response.metadata["signature_def"].Pack(signatures)
        return response


def version_of(spec: Any) -> tuple[int | None, str | None]:
    """Returns the version and the label of a ModelSpec. At most one of them is not None."""
    choice = spec.WhichOneof("version_choice")
    return (
        spec.version.value if choice == "version" else None,
        spec.version_label if choice == "version_label" else None,
    )


def _status(version: ModelVersion) -> Any:
    status = get_model_status_pb2.ModelVersionStatus(version=version.number, state=int(version.state))
    status.status.error_code = int(version.fault.code) if version.fault else 0
    status.status.error_message = version.fault.message if version.fault else ""
    return status


def metadata_json(response: Any) -> dict[str, Any]:
    """Converts a GetModelMetadataResponse to the JSON of the REST API, with an unpacked signature map."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return {
        "model_spec": _as_dict(response.model_spec),
        "metadata": {"signature_def": _as_dict(signatures)},
    }


def status_json(response: Any) -> dict[str, Any]:
    """Converts a GetModelStatusResponse to the JSON of the REST API."""
    return _as_dict(response)


def _as_dict(message: Any) -> dict[str, Any]:
    fields: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return fields
