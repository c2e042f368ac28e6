"""TensorFlow Serving's gRPC services: PredictionService and ModelService."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.model_server.calls import Call, closing, unlimited
from serving.model_server.faults import Code, Fault, invalid
from serving.model_server.model_config import models_of
from serving.model_server.servable import DEFAULT_SIGNATURE, Servable
from serving.model_server.service import Service
from serving.model_server.tensors import Array, write
from serving.model_server.wire import parsed

Method = Callable[[Call, Any], Any]
# Computes the response to a message. Takes a function that returns whether the client still waits. Raises Faults.
Answer = Callable[[bytes, Callable[[], bool]], bytes]

PREDICT = "/tensorflow.serving.PredictionService/Predict"

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_MESSAGE = 2000


class PredictionService:
    """Predict, Classify, Regress, MultiInference, GetModelMetadata."""

    def __init__(self, service: Service, as_content: bool) -> None:
        self._service, self._as_content = service, as_content

    def answers(self) -> dict[str, Answer]:
        """Returns the methods by path. They get bytes, to refuse what would become too large."""
        return _answers(
            "PredictionService",
            self._service,
            {
                "Predict": (predict_pb2.PredictRequest, self._predict),
                "Classify": (classification_pb2.ClassificationRequest, self._classify),
                "Regress": (regression_pb2.RegressionRequest, self._regress),
                "MultiInference": (inference_pb2.MultiInferenceRequest, self._multi_inference),
                "GetModelMetadata": (get_model_metadata_pb2.GetModelMetadataRequest, self._metadata),
            },
        )

    def _predict(self, call: Call, request: Any) -> Any:
        spec = request.model_spec
        with self._service.lease(spec) as servable:
            outputs = self._service.inference.predict_protos(call, servable, request)
        return self.response(servable, spec, outputs, call)

    def response(self, servable: Servable, spec: Any, outputs: Mapping[str, Array], call: Call) -> Any:
        """Returns a PredictResponse.

        Args:
          servable: computed the outputs.
          spec: the ModelSpec of the request.
          outputs: arrays by output alias.
          call: the request.
        """
        response = predict_pb2.PredictResponse()
        for alias, array in outputs.items():
            call.check()
            write(response.outputs[alias], array, self._as_content)
        return _with_model_spec(servable, spec, response)

    def _classify(self, call: Call, request: Any) -> Any:
        with self._service.lease(request.model_spec) as servable:
            result = self._service.inference.classify(call, servable, request.model_spec.signature_name, request.input)
        return _with_model_spec(servable, request.model_spec, classification_pb2.ClassificationResponse(result=result))

    def _regress(self, call: Call, request: Any) -> Any:
        with self._service.lease(request.model_spec) as servable:
            result = self._service.inference.regress(call, servable, request.model_spec.signature_name, request.input)
        return _with_model_spec(servable, request.model_spec, regression_pb2.RegressionResponse(result=result))

    def _multi_inference(self, call: Call, request: Any) -> Any:
        if not request.tasks:
            raise invalid("Inputs have no tasks")
        if len({task.model_spec.name for task in request.tasks}) > 1:
            raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        with self._service.lease(request.tasks[0].model_spec) as servable:
            return self._service.inference.multi_inference(call, servable, request)

    def _metadata(self, call: Call, request: Any) -> Any:
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise invalid(f"Metadata field {field} is not supported")
        return self._service.metadata(request.model_spec)


def status_of(fault: Fault) -> tuple[grpc.StatusCode, str]:
    """Returns the status of a fault. Clients refuse trailers above 8 KiB, and a message can quote a request."""
    return _CODES[fault.code], fault.message[:_MESSAGE]


def _with_model_spec(servable: Servable, spec: Any, response: Any) -> Any:
    """Fills in the model, signature and version that computed `response`."""
    made = response.model_spec
    made.name = spec.name
    made.signature_name = spec.signature_name or DEFAULT_SIGNATURE
    made.version.value = servable.version
    return response


class ModelService:
    """GetModelStatus, HandleReloadConfigRequest."""

    def __init__(self, service: Service, may_reload: bool) -> None:
        self._service, self._may_reload = service, may_reload

    def answers(self) -> dict[str, Answer]:
        """Returns the methods by path."""
        return _answers(
            "ModelService",
            self._service,
            {
                "GetModelStatus": (get_model_status_pb2.GetModelStatusRequest, self._status),
                "HandleReloadConfigRequest": (model_management_pb2.ReloadConfigRequest, self._reload),
            },
            counted=False,
        )

    def _status(self, call: Call, request: Any) -> Any:
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        return self._service.status(request.model_spec)

    def _reload(self, call: Call, request: Any) -> Any:
        """Serves exactly the models of the given configuration. Returns the increase of the given metrics."""
        if not self._may_reload:
            raise Fault(Code.PERMISSION_DENIED, "this server runs with --allow_reload_config=false")
        before = {name: self._service.metrics.value(name) for name in request.metric_names}
        response = model_management_pb2.ReloadConfigResponse()
        self._service.reload(models_of(request.config))
        response.status.error_code = int(Code.OK)
        for name, value in before.items():
            response.metric.add(name=name, int64_value_increase=self._service.metrics.value(name) - value)
        return response


def _answers(
    name: str, service: Service, methods: Mapping[str, tuple[Any, Method]], counted: bool = True
) -> dict[str, Answer]:
    """Returns the methods of a service of package `tensorflow.serving` by path.

    Args:
      name: the name of the service.
      service: the shared part of the server.
      methods: the class of the request and the implementation, by method.
      counted: whether requests appear in the metrics and occupy a slot.
    """

    def answer(api: str, kind: Any, method: Method, body: bytes, is_active: Callable[[], bool]) -> bytes:
        with closing(service.calls.begin() if counted else unlimited(service.limits)) as call:
            call.watch(is_active)
            request = parsed(kind, body, call)
            if not counted:
                return serialized(method(call, request))
            with service.counted(_model_of(request), api, "GRPC"):
                return serialized(method(call, request))

    return {
        f"/tensorflow.serving.{name}/{api}": functools.partial(answer, api, kind, method)
        for api, (kind, method) in methods.items()
    }


def serialized(response: Any) -> bytes:
    """Returns the bytes of a message."""
    return bytes(response.SerializeToString())


def _model_of(request: Any) -> str:
    """Returns the name of the model that a request names, or an empty string."""
    named = request.tasks[:1] if hasattr(request, "tasks") else [request]
    return str(named[0].model_spec.name) if named else ""
