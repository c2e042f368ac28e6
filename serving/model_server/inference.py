"""Predict, classify, regress and multi-inference on a servable, independent of the transport."""

from __future__ import annotations

import collections
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tensorflow_serving.apis import classification_pb2, inference_pb2, regression_pb2

from serving.model_server import examples, outputs, tensor_checks
from serving.model_server.calls import Call, check_rows
from serving.model_server.faults import Code, Fault, invalid
from serving.model_server.metrics import ServerMetrics
from serving.model_server.request_logs import RequestLogs
from serving.model_server.servable import DEFAULT_SIGNATURE, Servable, tensor_name
from serving.model_server.tensors import Array, to_array

_METHODS = "tensorflow/serving/"
CLASSIFY, REGRESS = f"{_METHODS}classify", f"{_METHODS}regress"


class Inference:
    """The calls of PredictionService.

    Every call checks the request before it allocates memory for it, and holds that memory in its `Call`.

    Args:
      metrics: records latencies and example counts.
      check_method_name: the flag --enable_signature_method_name_check.
      logs: receives the answered Predict requests of clients.
    """

    def __init__(
        self, metrics: ServerMetrics, check_method_name: bool = False, logs: RequestLogs | None = None
    ) -> None:
        self._metrics, self._check_method_name, self._logs = metrics, check_method_name, logs

    def predict_protos(self, call: Call, servable: Servable, request: Any) -> dict[str, Array]:
        """Runs the signature of a PredictRequest. Returns and raises what `predict` does."""
        name = request.model_spec.signature_name
        signature = servable.signature(name, Code.FAILED_PRECONDITION)
        _fetches(servable, name, request.output_filter)
        inputs = tensor_checks.decode(call, signature, request.inputs)
        return self.predict(call, servable, name, inputs, request.output_filter)

    def predict(
        self,
        call: Call,
        servable: Servable,
        signature_name: str,
        inputs: Mapping[str, Array],
        wanted: Sequence[str] = (),
    ) -> dict[str, Array]:
        """Runs a signature.

        Args:
          call: the request.
          servable: the model.
          signature_name: the signature. An empty name selects the default signature.
          inputs: arrays by input alias.
          wanted: the aliases of the outputs to compute. Empty selects all outputs.

        Returns:
          Arrays by output alias.

        Raises:
          Fault: the signature, an input or an output does not match the model, or the answer would be too large.
          tf.errors.OpError: an operation failed.
        """
        signature = servable.signature(signature_name, Code.FAILED_PRECONDITION)
        tensor_checks.check_aliases(signature, inputs)
        check_rows(max((array.shape[0] for array in inputs.values() if array.ndim), default=1), call.limits)
        fetches = _fetches(servable, signature_name, wanted)

        def run(arrays: Mapping[str, Array]) -> list[Array]:
            return self._run(call, servable, _feeds(signature, arrays), list(fetches.values()), "Predict")

        answer = dict(zip(fetches, outputs.bounded(call, servable, signature, inputs, fetches, run), strict=True))
        if self._logs is not None and call.of_client:
            self._logs.offer(servable.name, servable.version, signature_name or DEFAULT_SIGNATURE, inputs, answer)
        return answer

    def compute(
        self, call: Call, servable: Servable, signature: Any, inputs: Mapping[str, Array], fetches: Mapping[str, str]
    ) -> dict[str, Array]:
        """Runs a signature whose inputs and answer are checked, at once and without a log.

        Args:
          call: the request.
          servable: the model.
          signature: the SignatureDef.
          inputs: arrays by input alias.
          fetches: tensor names by the alias of each output to compute.
        """
        found = self._run(call, servable, _feeds(signature, inputs), list(fetches.values()), "Predict")
        return dict(zip(fetches, found, strict=True))

    def classify(self, call: Call, servable: Servable, signature_name: str, message: Any) -> Any:
        """Returns the ClassificationResult of an Input."""
        signature = self._signature(servable, signature_name, CLASSIFY)
        return _classifications(
            self._run_examples(call, servable, signature, message, ("classes", "scores"), "Classify")
        )

    def regress(self, call: Call, servable: Servable, signature_name: str, message: Any) -> Any:
        """Returns the RegressionResult of an Input."""
        signature = self._signature(servable, signature_name, REGRESS)
        return _regressions(self._run_examples(call, servable, signature, message, ("outputs",), "Regress"))

    def multi_inference(self, call: Call, servable: Servable, request: Any) -> Any:
        """Returns the MultiInferenceResponse of tasks that share a model and an Input."""
        response = inference_pb2.MultiInferenceResponse()
        names = [task.model_spec.signature_name or DEFAULT_SIGNATURE for task in request.tasks]
        for name, count in collections.Counter(names).items():
            if count > 1:
                raise invalid(f"Duplicate evaluation of signature: {name}")
        for task, name in zip(request.tasks, names, strict=True):
            if task.method_name not in (CLASSIFY, REGRESS):
                raise Fault(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
            self._signature(servable, name, task.method_name)
        for task, name in zip(request.tasks, names, strict=True):
            result = response.results.add()
            result.model_spec.name = task.model_spec.name
            result.model_spec.signature_name = name
            result.model_spec.version.value = servable.version
            if task.method_name == CLASSIFY:
                result.classification_result.CopyFrom(self.classify(call, servable, name, request.input))
            else:
                result.regression_result.CopyFrom(self.regress(call, servable, name, request.input))
        return response

    def _signature(self, servable: Servable, name: str, method: str) -> Any:
        signature = servable.signature(name)
        if self._check_method_name and signature.method_name != method:
            raise invalid(f"Expected signature method_name to be {method}. Was: {signature.method_name}")
        if len(signature.inputs) != 1:
            raise invalid("Expected one input Tensor.")
        if "inputs" not in signature.inputs and method in (CLASSIFY, REGRESS):
            raise invalid(f"No {method.removeprefix(_METHODS)} inputs found in SignatureDef: {list(signature.inputs)}")
        return signature

    def _run_examples(
        self, call: Call, servable: Servable, signature: Any, message: Any, aliases: Sequence[str], api: str
    ) -> dict[str, Array]:
        """Computes the outputs `aliases` that the signature has, one row per example of an Input."""
        fetches = {
            alias: tensor_name(signature.outputs[alias], alias) for alias in aliases if alias in signature.outputs
        }
        if not fetches or len(signature.outputs) > len(aliases):
            raise invalid(f"Expected outputs {' or '.join(aliases)}, found {sorted(signature.outputs)}")
        batch = examples.serialized(call, message)
        self._metrics.example_counts.labels(servable.name).observe(len(batch))
        self._metrics.examples.add(servable.name, by=len(batch))

        def run(arrays: Mapping[str, Array]) -> list[Array]:
            feeds = {tensor_name(signature.inputs["inputs"], "inputs"): arrays["inputs"]}
            return self._run(call, servable, feeds, list(fetches.values()), api)

        results = dict(
            zip(fetches, outputs.bounded(call, servable, signature, {"inputs": batch}, fetches, run), strict=True)
        )
        for alias, output in results.items():
            if output.ndim == 0 or output.shape[0] != len(batch):
                raise invalid(f"Expected {alias} output batch size of {len(batch)}. Got shape: {list(output.shape)}")
        return results

    def _run(
        self, call: Call, servable: Servable, feeds: Mapping[str, Array], fetches: Sequence[str], api: str
    ) -> list[Array]:
        call.check()
        started = time.perf_counter()
        results = servable.execute(feeds, fetches)
        seconds = time.perf_counter() - started
        self._metrics.runtime_latency.labels(servable.name, api, "TF1").observe(seconds * 1e6)
        return results


def _feeds(signature: Any, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Returns arrays by tensor name. Inputs with a default are optional."""
    feeds = {}
    for alias, info in signature.inputs.items():
        array = inputs[alias] if alias in inputs else to_array(signature.defaults[alias], alias)
        feeds[tensor_name(info, alias)] = array
    return feeds


def _fetches(servable: Servable, name: str, wanted: Sequence[str]) -> Mapping[str, str]:
    """Returns tensor names by the alias of each wanted output. Empty selects all outputs."""
    outputs = servable.outputs_of(name)
    for number, alias in enumerate(wanted):
        if alias not in outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {{{','.join(outputs)}}}."
            )
        if alias in wanted[:number]:
            raise invalid(f"duplicate output tensor alias: {alias}")
    # In the order of the signature, so that clients cannot make TensorFlow prepare a call for each order.
    return {alias: name for alias, name in outputs.items() if alias in wanted} if wanted else outputs


def _classifications(outputs: Mapping[str, Array]) -> Any:
    classes, scores = outputs.get("classes"), outputs.get("scores")
    for alias, array, kind in (("classes", classes, "object"), ("scores", scores, "float32")):
        if array is not None and array.ndim != 2:
            raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {list(array.shape)}")
        if array is not None and array.dtype.name != kind:
            raise invalid(f"Expected {alias} Tensor of {kind}. Got: {array.dtype.name}")
    if classes is not None and scores is not None and classes.shape != scores.shape:
        raise invalid(f"Tensors class and score should match. Got {list(classes.shape)} vs. {list(scores.shape)}")
    result = classification_pb2.ClassificationResult()
    either = classes if classes is not None else scores
    assert either is not None
    for i in range(either.shape[0]):
        row = result.classifications.add()
        for j in range(either.shape[1]):
            entry = row.classes.add()
            if classes is not None:
                entry.label = _label(classes[i, j])
            if scores is not None:
                entry.score = float(scores[i, j])
    return result


def _label(value: bytes) -> str:
    """Decodes a label. The message has a string field, so invalid UTF-8 becomes replacement characters."""
    return value.decode("utf-8", "replace")


def _regressions(outputs: Mapping[str, Array]) -> Any:
    (values,) = outputs.values()
    if values.ndim > 2 or (values.ndim == 2 and values.shape[1] != 1):
        raise invalid(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {values.shape}"
        )
    if values.dtype.name != "float32":
        raise invalid(f"Expected output Tensor of float32. Got: {values.dtype.name}")
    result = regression_pb2.RegressionResult()
    for value in values.reshape(-1).tolist():
        result.regressions.add().value = value
    return result
