"""gRPC conformance to the comments in the public protos of TensorFlow Serving."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

from tests.integration.model_server.running import Client
from tests.integration.model_server.saved_models import TYPES

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


def predict_request(model: str = "half", signature: str = "", version: int | None = None, label: str = "", **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    if label:
        request.model_spec.version_label = label
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(value)
    return request


def tensor(values: object, kind: str = "float32"):
    return tf.make_tensor_proto(values, dtype=kind)


def example(**features: float) -> tf.train.Example:
    made = tf.train.Example()
    for name, value in features.items():
        made.features.feature[name].float_list.value.append(value)
    return made


def code_of(call: Callable, request: object) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as refused:
        call(request)
    return refused.value.code().name, refused.value.details()


@pytest.mark.parametrize(
    ("selection", "version"),
    [({}, 2), ({"version": 1}, 1), ({"version": 2}, 2), ({"label": "stable"}, 1), ({"label": "canary"}, 2)],
    ids=str,
)
def test_predict_uses_requested_version(client: Client, selection: dict, version: int) -> None:
    answer = client.prediction.Predict(predict_request(x=tensor([1.0, 2.0]), **selection))
    assert list(answer.outputs["y"].float_val) == [0.5 + version + 1, 1 + version + 1]
    assert answer.model_spec.name == "half"
    assert answer.model_spec.version.value == version
    assert answer.model_spec.signature_name == "serving_default"


FIELDS = {
    "float32": "float_val", "float64": "double_val", "int64": "int64_val", "uint32": "uint32_val", "bool": "bool_val",
    "uint64": "uint64_val", "string": "string_val",
}  # fmt: skip


@pytest.mark.parametrize("kind", TYPES)
def test_values_use_typed_fields(client: Client, kind: str) -> None:
    values = {"bool": [[True], [False]], "string": [[b"a"], [b"\xff\x00"]]}.get(kind, [[0], [100]])
    answer = client.prediction.Predict(predict_request("types", f"echo_{kind}", x=tensor(values, kind)))
    output = answer.outputs["y"]
    assert output.dtype == tf.as_dtype(kind).as_datatype_enum
    assert [dim.size for dim in output.tensor_shape.dim] == [2, 1]
    assert list(getattr(output, FIELDS.get(kind, "int_val"))) == [row[0] for row in values]
    assert not output.tensor_content


def test_packed_input_is_accepted(client: Client) -> None:
    packed = tf.make_tensor_proto(np.arange(3, dtype=np.float32))
    assert packed.tensor_content
    assert list(client.prediction.Predict(predict_request(x=packed)).outputs["y"].float_val) == [3.0, 3.5, 4.0]


def test_single_value_fills_shape(client: Client) -> None:
    filled = tf.make_tensor_proto([0.0], dtype="float32", shape=[4])
    assert list(client.prediction.Predict(predict_request(x=filled)).outputs["y"].float_val) == [3.0] * 4


def test_empty_input_gives_empty_output(client: Client) -> None:
    output = client.prediction.Predict(predict_request(x=tensor([]))).outputs["y"]
    assert [dim.size for dim in output.tensor_shape.dim] == [0]


def test_scalar_has_no_dimension(client: Client) -> None:
    output = client.prediction.Predict(predict_request("types", "scalar", x=tensor(4.5))).outputs["y"]
    assert (list(output.tensor_shape.dim), list(output.float_val)) == ([], [9.0])


@pytest.mark.parametrize("wanted", [["total"], ["first", "total"], []])
def test_output_filter_selects_outputs(client: Client, wanted: list[str]) -> None:
    request = predict_request("types", "two", a=tensor([1.0]), b=tensor([[2.0, 3.0]]))
    request.output_filter.extend(wanted)
    answer = client.prediction.Predict(request)
    assert set(answer.outputs) == set(wanted or ["first", "total"])
    assert list(answer.outputs["total"].float_val) == [6.0]


@pytest.mark.parametrize(
    ("request_", "code", "word"),
    [
        (predict_request("", x=tensor([1.0])), "INVALID_ARGUMENT", "name"),
        (predict_request("none", x=tensor([1.0])), "NOT_FOUND", "none"),
        (predict_request(version=9, x=tensor([1.0])), "NOT_FOUND", "9"),
        (predict_request(label="unheard", x=tensor([1.0])), "INVALID_ARGUMENT", "unheard"),
        (predict_request(signature="none", x=tensor([1.0])), "FAILED_PRECONDITION", "none"),
        (predict_request(), "INVALID_ARGUMENT", "x"),
        (predict_request(z=tensor([1.0])), "INVALID_ARGUMENT", "z"),
        (predict_request(x=tensor([1.0]), z=tensor([1.0])), "INVALID_ARGUMENT", "z"),
        (predict_request(x=tensor([1], "int32")), "INVALID_ARGUMENT", ""),
        (predict_request(x=tensor([b"a"], "string")), "INVALID_ARGUMENT", ""),
        (predict_request("types", "matrix", x=tensor([[1.0, 2.0, 3.0]])), "INVALID_ARGUMENT", ""),
    ],
    ids=lambda value: "" if not isinstance(value, str) else value,
)
def test_predict_errors(client: Client, request_: object, code: str, word: str) -> None:
    found, details = code_of(client.prediction.Predict, request_)
    assert found == code
    assert word in details


@pytest.mark.parametrize("wanted", [["none"], ["total", "total"]])
def test_output_filter_errors(client: Client, wanted: list[str]) -> None:
    request = predict_request("types", "two", a=tensor([1.0]), b=tensor([[2.0, 3.0]]))
    request.output_filter.extend(wanted)
    assert code_of(client.prediction.Predict, request)[0] == "INVALID_ARGUMENT"


def _examples_request(kind: type, signature: str, context: dict | None = None, *rows: dict):
    request = kind()
    request.model_spec.name = "examples"
    request.model_spec.signature_name = signature
    if context is None:
        request.input.example_list.examples.extend(example(**row) for row in rows)
    else:
        request.input.example_list_with_context.context.CopyFrom(example(**context))
        request.input.example_list_with_context.examples.extend(example(**row) for row in rows)
    return request


def test_classify(client: Client) -> None:
    request = _examples_request(classification_pb2.ClassificationRequest, "classify", None, {"x": 0.25})
    answer = client.prediction.Classify(request)
    (row,) = answer.result.classifications
    assert [(entry.label, entry.score) for entry in row.classes] == [("low", 0.75), ("high", 0.25)]
    assert (answer.model_spec.name, answer.model_spec.signature_name) == ("examples", "classify")
    assert answer.model_spec.version.value == 1


@pytest.mark.parametrize("context", [None, {"y": 2.0}])
def test_regress(client: Client, context: dict | None) -> None:
    request = _examples_request(regression_pb2.RegressionRequest, "", context, {"x": 0.25}, {"x": 1.0})
    answer = client.prediction.Regress(request)
    shared = 0 if context is None else 20
    assert [entry.value for entry in answer.result.regressions] == [0.25 + shared, 1.0 + shared]
    assert answer.model_spec.signature_name == "serving_default"


@pytest.mark.parametrize(
    ("signature", "rows", "word"),
    [("none", [{"x": 1.0}], "none"), ("classify", [], "empty"), ("regress", [{"x": 1.0}], ""), ("classify", [{}], "")],
)
def test_classify_errors(client: Client, signature: str, rows: list[dict], word: str) -> None:
    request = _examples_request(classification_pb2.ClassificationRequest, signature, None, *rows)
    code, details = code_of(client.prediction.Classify, request)
    assert code == "INVALID_ARGUMENT"
    assert word in details


def _tasks(*tasks: tuple[str, str, str]) -> inference_pb2.MultiInferenceRequest:
    request = inference_pb2.MultiInferenceRequest()
    for model, signature, method in tasks:
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = model, signature
    request.input.example_list.examples.append(example(x=0.25))
    return request


def test_multi_inference_runs_every_task(client: Client) -> None:
    request = _tasks(("examples", "classify", CLASSIFY), ("examples", "regress", REGRESS))
    first, second = client.prediction.MultiInference(request).results
    assert [entry.score for entry in first.classification_result.classifications[0].classes] == [0.75, 0.25]
    assert [entry.value for entry in second.regression_result.regressions] == [0.25]
    assert [result.model_spec.signature_name for result in (first, second)] == ["classify", "regress"]
    assert [result.model_spec.version.value for result in (first, second)] == [1, 1]


@pytest.mark.parametrize(
    ("tasks", "code"),
    [
        ([("examples", "regress", REGRESS)] * 2, "INVALID_ARGUMENT"),
        ([("examples", "regress", REGRESS), ("half", "", REGRESS)], "INVALID_ARGUMENT"),
        ([("examples", "regress", "tensorflow/serving/predict")], "UNIMPLEMENTED"),
        ([("examples", "none", REGRESS)], "INVALID_ARGUMENT"),
        ([("none", "regress", REGRESS)], "NOT_FOUND"),
    ],
)
def test_multi_inference_errors(client: Client, tasks: list, code: str) -> None:
    assert code_of(client.prediction.MultiInference, _tasks(*tasks))[0] == code


def _metadata_request(*fields: str, model: str | None = "half", version: int | None = None):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    if model is not None:
        request.model_spec.name = model
    if version is not None:
        request.model_spec.version.value = version
    return request


@pytest.mark.parametrize("version", [None, 1, 2])
def test_metadata(client: Client, version: int | None) -> None:
    answer = client.prediction.GetModelMetadata(_metadata_request("signature_def", version=version))
    assert answer.model_spec.version.value == (version or 2)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    assert set(signatures.signature_def["serving_default"].inputs) == {"x"}


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (_metadata_request(), "INVALID_ARGUMENT"),
        (_metadata_request("graph"), "INVALID_ARGUMENT"),
        (_metadata_request("signature_def", model=None), "INVALID_ARGUMENT"),
        (_metadata_request("signature_def", model="none"), "NOT_FOUND"),
        (_metadata_request("signature_def", version=9), "NOT_FOUND"),
    ],
    ids=["no field", "unknown field", "no model", "unknown model", "unknown version"],
)
def test_metadata_errors(client: Client, request_: object, code: str) -> None:
    assert code_of(client.prediction.GetModelMetadata, request_)[0] == code


@pytest.mark.parametrize(("version", "expected"), [(None, [2, 1]), (1, [1])])
def test_status(client: Client, version: int | None, expected: list[int]) -> None:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "half"
    if version is not None:
        request.model_spec.version.value = version
    found = client.models.GetModelStatus(request).model_version_status
    assert [entry.version for entry in found] == expected
    assert {entry.state for entry in found} == {get_model_status_pb2.ModelVersionStatus.AVAILABLE}
    assert {(entry.status.error_code, entry.status.error_message) for entry in found} == {(0, "")}


def test_status_errors(client: Client) -> None:
    request = get_model_status_pb2.GetModelStatusRequest()
    assert code_of(client.models.GetModelStatus, request)[0] == "INVALID_ARGUMENT"
    request.model_spec.name = "none"
    assert code_of(client.models.GetModelStatus, request)[0] == "NOT_FOUND"
