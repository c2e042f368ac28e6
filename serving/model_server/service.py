"""The part that both transports share: models, calls, limits and request metrics."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from serving.model_server.calls import Calls, Limits
from serving.model_server.faults import Fault, fault_of
from serving.model_server.hosted_models import ModelVersion
from serving.model_server.inference import Inference
from serving.model_server.metrics import ServerMetrics
from serving.model_server.model_config import ServedModel
from serving.model_server.model_manager import ModelManager
from serving.model_server.request_logs import RequestLogs
from serving.model_server.servable import DEFAULT_SIGNATURE, Servable
from serving.model_server.tensors import Array

UNKNOWN_MODEL = "(unknown)"


class Service:
    """The models of a server, and the operations that both transports offer."""

    def __init__(
        self, models: ModelManager, inference: Inference, metrics: ServerMetrics, limits: Limits, logs: RequestLogs
    ) -> None:
        self.models, self.inference, self.metrics, self.limits = models, inference, metrics, limits
        self._logs = logs
        self.calls = Calls(limits)

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
            # No variable may hold the fault, and it may not be its own cause. Either would be a reference cycle, which
            # keeps the request in memory until a full garbage collection.
            raise self.failed(model, error) from None
        self.succeeded(model, api, entrypoint, started)

    def succeeded(self, model: str, api: str, entrypoint: str, started: float) -> None:
        """Counts a request that succeeded. `started` is its time of `time.perf_counter`."""
        self.metrics.requests.add(model, "OK")
        microseconds = (time.perf_counter() - started) * 1e6
        self.metrics.request_latency.labels(model, api, entrypoint).observe(microseconds)

    def failed(self, model: str, error: Exception) -> Fault:
        """Counts a request that failed. Returns the exception as a fault."""
        fault = fault_of(error)
        # Names of models that do not exist come from clients. Each would be a line of the metrics page.
        self.metrics.requests.add(model if self.models.has(model) else UNKNOWN_MODEL, fault.code.name)
        return fault

    def reload(self, models: Sequence[ServedModel]) -> None:
        """Serves exactly these models, and logs their requests as their configuration says.

        Raises:
          Fault: as in `ModelManager.reload`.
        """
        self.models.reload(models)
        self._logs.configure(models)

    def log(
        self, servable: Servable, signature: str, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
    ) -> None:
        """Logs an answered Predict request of a client, if its model is logged and the sample contains it."""
        self._logs.offer(servable.name, servable.version, signature or DEFAULT_SIGNATURE, inputs, outputs)

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
    status.status.error_message = version.fault.message if version.fault else version.note
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
