"""TensorFlow Serving's gRPC services: PredictionService and ModelService."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving.model_server.faults import Code, Fault, invalid
from serving.model_server.model_config import models_of
from serving.model_server.servable import DEFAULT_SIGNATURE, Servable
from serving.model_server.service import Service
from serving.model_server.tensors import to_array, to_proto

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict, Classify, Regress, MultiInference, GetModelMetadata."""

    def __init__(self, service: Service, as_content: bool) -> None:
        self._service, self._as_content = service, as_content

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 - the protocol defines these names
        """Runs any signature on tensors."""
        return self._call("Predict", request.model_spec, context, self._predict, request)

    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Returns classes and scores of examples."""
        return self._call("Classify", request.model_spec, context, self._classify, request)

    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Returns one value per example."""
        return self._call("Regress", request.model_spec, context, self._regress, request)

    def MultiInference(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Runs several classify and regress signatures of a model on the same examples."""
        spec = request.tasks[0].model_spec if request.tasks else None
        return self._call("MultiInference", spec, context, self._multi_inference, request)

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Returns the signatures of a model."""
        return self._call("GetModelMetadata", request.model_spec, context, self._metadata, request)

    def _call(
        self, api: str, spec: Any, context: grpc.ServicerContext, call: Callable[[Any], Any], request: Any
    ) -> Any:
        try:
            with self._service.counted(spec.name if spec else "", api, "GRPC"), self._service.slot():
                return call(request)
        except Fault as fault:
            context.abort(_CODES[fault.code], fault.message)

    def _predict(self, request: Any) -> Any:
        spec = request.model_spec
        inputs = {alias: to_array(proto, alias) for alias, proto in request.inputs.items()}
        with self._service.lease(spec) as servable:
            outputs = self._service.inference.predict(
                servable, spec.signature_name, inputs, list(request.output_filter)
            )
        response = predict_pb2.PredictResponse()
        for alias, array in outputs.items():
            response.outputs[alias].CopyFrom(to_proto(array, self._as_content))
        return _with_model_spec(servable, spec, response)

    def _classify(self, request: Any) -> Any:
        with self._service.lease(request.model_spec) as servable:
            result = self._service.inference.classify(servable, request.model_spec.signature_name, request.input)
        return _with_model_spec(servable, request.model_spec, classification_pb2.ClassificationResponse(result=result))

    def _regress(self, request: Any) -> Any:
        with self._service.lease(request.model_spec) as servable:
            result = self._service.inference.regress(servable, request.model_spec.signature_name, request.input)
        return _with_model_spec(servable, request.model_spec, regression_pb2.RegressionResponse(result=result))

    def _multi_inference(self, request: Any) -> Any:
        if not request.tasks:
            raise invalid("Inputs have no tasks")
        if len({task.model_spec.name for task in request.tasks}) > 1:
            raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        with self._service.lease(request.tasks[0].model_spec) as servable:
            return self._service.inference.multi_inference(servable, request)

    def _metadata(self, request: Any) -> Any:
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise invalid(f"Metadata field {field} is not supported")
        return self._service.metadata(request.model_spec)


def _with_model_spec(servable: Servable, spec: Any, response: Any) -> Any:
    """Fills in the model, signature and version that computed `response`."""
    response.model_spec.name = spec.name
    response.model_spec.signature_name = spec.signature_name or DEFAULT_SIGNATURE
    response.model_spec.version.value = servable.version
    return response


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus, HandleReloadConfigRequest."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Returns the state of the versions of a model."""
        try:
            if not request.HasField("model_spec"):
                raise invalid("Missing ModelSpec")
            return self._service.status(request.model_spec)
        except Fault as fault:
            context.abort(_CODES[fault.code], fault.message)

    def HandleReloadConfigRequest(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Serves exactly the models of the given configuration. Returns the increase of the given metrics."""
        before = {name: self._service.metrics.value(name) for name in request.metric_names}
        response = model_management_pb2.ReloadConfigResponse()
        try:
            self._service.models.reload(models_of(request.config))
        except Fault as fault:
            context.abort(_CODES[fault.code], fault.message)
        response.status.error_code = int(Code.OK)
        for name, value in before.items():
            response.metric.add(name=name, int64_value_increase=self._service.metrics.value(name) - value)
        return response


def build_server(service: Service, threads: int, as_content: bool, options: list[tuple[str, Any]]) -> grpc.Server:
    """Builds a gRPC server with both services, without binding a port."""
    limits = service.limits
    server = grpc.server(
        ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
        maximum_concurrent_rpcs=limits.max_concurrency,
        options=[
            ("grpc.max_receive_message_length", limits.max_body_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
            *options,
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(service, as_content), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(service), server)
    return server
