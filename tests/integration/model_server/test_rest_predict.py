"""Conformance of REST predict to "Predict API" and "JSON mapping" of TensorFlow Serving's RESTful API page."""

from __future__ import annotations

import base64
import json
import math

import numpy as np
import pytest

from tests.integration.model_server.running import Client


def b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


@pytest.mark.parametrize(
    ("path", "offset"),
    [
        ("half", 3.0),
        ("half/versions/1", 2.0),
        ("half/versions/2", 3.0),
        ("half/labels/stable", 2.0),
        ("half/labels/canary", 3.0),
        ("%68alf", 3.0),
        ("half/labels/%73table", 2.0),
    ],
)
def test_path_selects_version(client: Client, path: str, offset: float) -> None:
    assert client.post(f"{path}:predict", {"instances": [1.0, 2, 5]}) == (
        200,
        {"predictions": [0.5 + offset, 1 + offset, 2.5 + offset]},
    )


@pytest.mark.parametrize("path", ["/v1/models/half:predict", "/V1/MODELS/half:PREDICT"])
def test_path_ignores_case(client: Client, path: str) -> None:
    status, body, headers = client.ask("POST", path, {"instances": [0]})
    assert (status, json.loads(body)) == (200, {"predictions": [3.0]})
    assert headers["content-type"].startswith("application/json")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"instances": [1.0]}, {"predictions": [3.5]}),
        ({"instances": [{"x": 1.0}, {"x": 3}]}, {"predictions": [3.5, 4.5]}),
        ({"inputs": [1.0, 3.0]}, {"outputs": [3.5, 4.5]}),
        ({"inputs": {"x": [1.0, 3.0]}}, {"outputs": [3.5, 4.5]}),
        ({"inputs": []}, {"outputs": []}),
        ({"signature_name": "serving_default", "instances": [2]}, {"predictions": [4.0]}),
        ({"signature_name": "", "instances": [2]}, {"predictions": [4.0]}),
        ({"instances": [1e2]}, {"predictions": [53.0]}),
        ({"instances": [2], "more": 1}, {"predictions": [4.0]}),
    ],
    ids=str,
)
def test_rows_and_columns(client: Client, body: dict, expected: dict) -> None:
    assert client.post("half:predict", body) == (200, expected)


@pytest.mark.parametrize(
    ("signature", "body", "expected"),
    [
        (
            "two",
            {"instances": [{"a": 1.0, "b": [2, 3]}, {"a": 10, "b": [20.0, 30.0]}]},
            {"predictions": [{"first": 2.0, "total": 6.0}, {"first": 20.0, "total": 60.0}]},
        ),
        (
            "two",
            {"inputs": {"a": [1.0, 10.0], "b": [[2.0, 3.0], [20.0, 30.0]]}},
            {"outputs": {"first": [2.0, 20.0], "total": [6.0, 60.0]}},
        ),
        ("scalar", {"inputs": 4.5}, {"outputs": 9.0}),
        ("scalar", {"inputs": {"x": 4.5}}, {"outputs": 9.0}),
        ("matrix", {"inputs": [[1, 2], [3, 4]]}, {"outputs": [[7.0, 10.0], [15.0, 22.0]]}),
        ("one", {"inputs": [1.0, 2.0]}, {"outputs": {"y": 3.0, "z": [1.0, 2.0]}}),
        ("echo_float32", {"instances": [[[1, 2]], [[3, 4]]]}, {"predictions": [[[1.0, 2.0]], [[3.0, 4.0]]]}),
    ],
    ids=str,
)
def test_several_tensors_and_shapes(client: Client, signature: str, body: dict, expected: dict) -> None:
    assert client.post("types:predict", {"signature_name": signature, **body}) == (200, expected)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("float32", [0.1, -1.5, 3.4028234663852886e38, 1e-30]),
        ("float64", [0.1, -1e300]),
        ("int8", [-128, 127]),
        ("int16", [-32768, 32767]),
        ("int32", [-(2**31), 2**31 - 1]),
        ("int64", [-(2**63), 2**63 - 1]),
        ("uint8", [0, 255]),
        ("uint32", [0, 2**32 - 1]),
        ("uint64", [0, 2**64 - 1]),
        ("bool", [True, False]),
        ("string", ["", "two words", "naïve 🎬", '\u0000\n"']),
    ],
)
def test_every_type_round_trips(client: Client, kind: str, values: list) -> None:
    status, answer = client.post("types:predict", {"signature_name": f"echo_{kind}", "instances": values})
    assert status == 200, answer
    returned = answer["predictions"]
    if kind == "float32":
        assert np.array(returned, np.float32).tolist() == np.array(values, np.float32).tolist()
    else:
        assert returned == values
    assert {type(value) for value in returned} == {type(value) for value in values}


def test_nonfinite_numbers_are_tokens(client: Client) -> None:
    status, body, _ = client.ask(
        "POST", "/v1/models/types:predict", b'{"signature_name": "divide", "instances": [0, -0.0, NaN, Infinity, 2]}'
    )
    assert status == 200
    assert b"NaN" in body and b"-Infinity" in body
    returned = json.loads(body)["predictions"]
    assert returned[:2] == [math.inf, -math.inf] and math.isnan(returned[2]) and returned[3:] == [0.0, 0.5]


def test_float32_round_trips(client: Client) -> None:
    values = np.random.default_rng(3).normal(size=200).astype(np.float32)
    _, answer = client.post("types:predict", {"signature_name": "echo_float32", "inputs": values.tolist()})
    np.testing.assert_array_equal(np.array(answer["outputs"], np.float32), values)


def test_whole_floats_have_a_decimal_point(client: Client) -> None:
    assert b"3.0" in client.ask("POST", "/v1/models/half:predict", {"instances": [0]})[1]


@pytest.mark.parametrize("data", [b"plain", b"", b"\xff\x00\xfe", bytes(range(256))])
def test_bytes_outputs_are_base64(client: Client, data: bytes) -> None:
    status, answer = client.post("types:predict", {"signature_name": "binary", "instances": [b64(data)]})
    assert status == 200
    assert answer["predictions"][0]["y_bytes"] == b64(data)


def test_text_outputs_are_text(client: Client) -> None:
    body = {"signature_name": "binary", "inputs": {"x": ["naïve", b64(b"plain")]}}
    _, answer = client.post("types:predict", body)
    assert answer["outputs"]["y"] == ["naïve", "plain"]


def test_unpadded_base64_is_accepted(client: Client) -> None:
    body = {"signature_name": "echo_string", "inputs": [{"b64": "YQ"}]}
    assert client.post("types:predict", body) == (200, {"outputs": ["a"]})


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        ("half", b"", 400, "JSON Parse error"),
        ("half", b"{", 400, "JSON Parse error"),
        ("half", b"[1]", 400, "not object"),
        ("half", {}, 400, "instances"),
        ("half", {"instances": [1], "inputs": [1]}, 400, "only one of"),
        ("half", {"instances": []}, 400, "No values"),
        ("half", {"instances": 1}, 400, "list"),
        ("half", {"instances": ["a"]}, 400, "type"),
        ("half", {"instances": [True]}, 400, "type"),
        ("half", {"instances": [None]}, 400, "type"),
        ("half", {"instances": [[1, 2], [3]]}, 400, ""),
        ("half", {"instances": [1, [2]]}, 400, ""),
        ("half", {"instances": [{"x": 1}, 2]}, 400, ""),
        ("half", {"instances": [{"z": 1}]}, 400, "z"),
        ("half", {"instances": [{"x": 1, "z": 1}]}, 400, "z"),
        ("half", {"inputs": {"z": [1]}}, 400, "x"),
        ("half", {"instances": [{"b64": "YQ=="}]}, 400, "type"),
        ("half", {"signature_name": 1, "instances": [1]}, 400, "signature_name"),
        ("half", {"signature_name": "none", "instances": [1]}, 400, "none"),
        ("types", {"signature_name": "echo_int32", "instances": [1.5]}, 400, "type"),
        ("types", {"signature_name": "echo_int32", "instances": [2**31]}, 400, "type"),
        ("types", {"signature_name": "echo_uint64", "instances": [-1]}, 400, "type"),
        ("types", {"signature_name": "echo_bool", "instances": [1]}, 400, "type"),
        ("types", {"signature_name": "echo_string", "instances": [1]}, 400, "type"),
        ("types", {"signature_name": "echo_string", "instances": [{"b64": "?"}]}, 400, "base64"),
        ("types", {"signature_name": "two", "instances": [1]}, 400, "list of objects"),
        ("types", {"signature_name": "two", "instances": [{"a": 1}]}, 400, "b"),
        ("types", {"signature_name": "two", "inputs": [1]}, 400, "object"),
        ("types", {"signature_name": "one", "instances": [1.0]}, 400, ""),
        ("types", {"signature_name": "matrix", "inputs": [[1, 2, 3]]}, 400, ""),
        ("none", {"instances": [1]}, 404, "none"),
        ("half/versions/9", {"instances": [1]}, 404, "9"),
        ("half/versions/99999999999999999999", {"instances": [1]}, 400, "99999999999999999999"),
        ("half/labels/unheard", {"instances": [1]}, 400, "unheard"),
    ],
    ids=str,
)
def test_predict_errors(client: Client, path: str, body: object, status: int, word: str) -> None:
    found, answer = client.post(f"{path}:predict", body)
    assert found == status, answer
    assert set(answer) == {"error"}
    assert isinstance(answer["error"], str) and word in answer["error"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models/half:predict"),
        ("POST", "/v1/models/half:explain"),
        ("POST", "/v1/models/half"),
        ("POST", "/v1/models/half/versions/x:predict"),
        ("POST", "/v1/models/half/versions/1/labels/stable:predict"),
        ("PUT", "/v1/models/half:predict"),
        ("DELETE", "/v1/models/half"),
        ("GET", "/v1/none"),
    ],
)
def test_unknown_call_is_malformed(client: Client, method: str, path: str) -> None:
    status, body, _ = client.ask(method, path, b"{}" if method == "POST" else None)
    assert status == 400
    assert json.loads(body)["error"].startswith("Malformed request")


def test_other_paths_are_not_found(client: Client) -> None:
    assert client.ask("GET", "/")[0] == 404
    assert client.ask("POST", "/predict", b"{}")[0] == 404


def test_connection_survives_errors(client: Client) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", client.rest_port)
    for body, status in ((b"{", 400), (b'{"instances": [1]}', 200), (b"", 400), (b'{"instances": [1]}', 200)):
        connection.request("POST", "/v1/models/half:predict", body)
        answer = connection.getresponse()
        assert (answer.status, bool(answer.read())) == (status, True)
    connection.close()
