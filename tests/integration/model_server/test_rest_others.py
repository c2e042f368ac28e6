"""Conformance of REST classify, regress, status, metadata and metrics to the TensorFlow Serving documentation."""

from __future__ import annotations

import pytest

from tests.integration.model_server.running import Client


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ("classify", [[["low", 0.75], ["high", 0.25]], [["low", 0.5], ["high", 0.5]]]),
        ("scores_only", [[["", 0.75], ["", 0.25]], [["", 0.5], ["", 0.5]]]),
        ("classes_only", [[["low", 0.0], ["high", 0.0]], [["low", 0.0], ["high", 0.0]]]),
    ],
)
def test_classify_returns_labels_and_scores(client: Client, signature: str, expected: list) -> None:
    body = {"signature_name": signature, "examples": [{"x": 0.25}, {"x": [0.5]}]}
    assert client.post("examples:classify", body) == (200, {"results": expected})


@pytest.mark.parametrize("signature", ["", "serving_default", "regress"])
def test_regress_returns_values(client: Client, signature: str) -> None:
    body = {"signature_name": signature, "examples": [{"x": 0.25}, {"x": 1.0, "y": 2.0}]}
    assert client.post("examples:regress", body) == (200, {"results": [0.25, 21.0]})


def test_context_applies_to_every_example(client: Client) -> None:
    body = {"context": {"y": 2.0}, "examples": [{"x": 0.5}, {"x": 1.5}]}
    assert client.post("examples:regress", body) == (200, {"results": [20.5, 21.5]})


def test_version_is_selected(client: Client) -> None:
    assert client.post("examples/versions/1:regress", {"examples": [{"x": 2.0}]}) == (200, {"results": [2.0]})


@pytest.mark.parametrize(
    ("call", "body", "status", "word"),
    [
        ("classify", b"", 400, "JSON Parse error"),
        ("classify", {}, 400, "examples"),
        ("classify", {"examples": 1}, 400, "examples"),
        ("classify", {"examples": []}, 400, "empty"),
        ("classify", {"examples": [1]}, 400, "object"),
        ("classify", {"examples": [{"x": None}]}, 400, "x"),
        ("classify", {"examples": [{"x": [[1.0]]}]}, 400, "x"),
        ("classify", {"examples": [{"x": {"y": 1}}]}, 400, "x"),
        ("classify", {"examples": [{"x": [1.0, "a"]}]}, 400, "x"),
        ("classify", {"examples": [{"x": 2**64 - 1}]}, 400, "x"),
        ("classify", {"signature_name": "none", "examples": [{"x": 1.0}]}, 400, "none"),
        ("classify", {"signature_name": "regress", "examples": [{"x": 1.0}]}, 400, ""),
        ("regress", {"signature_name": "classify", "examples": [{"x": 1.0}]}, 400, ""),
        ("regress", {"signature_name": "wide", "examples": [{"x": 1.0}]}, 400, ""),
        ("regress", {"examples": [{"x": "text"}]}, 400, ""),
        ("regress", {"examples": [{}]}, 400, ""),
    ],
    ids=str,
)
def test_classify_and_regress_errors(client: Client, call: str, body: object, status: int, word: str) -> None:
    found, answer = client.post(f"examples:{call}", body)
    assert (found, set(answer)) == (status, {"error"})
    assert word in answer["error"]


def _entry(version: int) -> dict:
    return {"version": str(version), "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}


@pytest.mark.parametrize(
    ("path", "versions"),
    [
        ("/half", [2, 1]),
        ("/half/versions/1", [1]),
        ("/half/versions/2", [2]),
        ("/half/labels/stable", [1]),
        ("/types", [7]),
    ],
)
def test_status_lists_newest_version_first(client: Client, path: str, versions: list[int]) -> None:
    assert client.get(path) == (200, {"model_version_status": [_entry(version) for version in versions]})


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("", 400, "model name"),
        ("/none", 404, "none"),
        ("/half/versions/9", 404, "9"),
        ("/none/metadata", 404, "none"),
        ("/half/versions/9/metadata", 404, "9"),
        ("/half/labels/unheard/metadata", 400, "unheard"),
        ("/half/else", 400, "Malformed"),
    ],
)
def test_status_and_metadata_errors(client: Client, path: str, status: int, word: str) -> None:
    found, answer = client.get(path)
    assert (found, set(answer)) == (status, {"error"})
    assert word in answer["error"]


@pytest.mark.parametrize(
    ("path", "version"),
    [("/half/metadata", "2"), ("/half/versions/1/metadata", "1"), ("/half/labels/stable/metadata", "1")],
)
def test_metadata_lists_signatures(client: Client, path: str, version: str) -> None:
    status, answer = client.get(path)
    assert status == 200
    assert answer["model_spec"] == {"name": "half", "signature_name": "", "version": version}
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert signature["inputs"]["x"]["tensor_shape"] == {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    assert set(signature["outputs"]) == {"y"}
    assert signature["method_name"] == "tensorflow/serving/predict"


def _metrics(client: Client) -> dict[str, float]:
    status, body, headers = client.ask("GET", "/monitoring/prometheus/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain")
    lines = [line for line in body.decode().splitlines() if not line.startswith("#")]
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}


def test_metrics_have_tensorflow_serving_names(client: Client) -> None:
    before = _metrics(client)
    client.post("half:predict", {"instances": [1]})
    client.post("half:predict", b"{")
    client.post("examples:regress", {"examples": [{"x": 1.0}, {"x": 1.0}, {"x": 1.0}]})
    after = _metrics(client)

    def grown(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    assert grown(':tensorflow:serving:request_count{model_name="half",status="OK"}') == 1
    assert grown(':tensorflow:serving:request_count{model_name="half",status="INVALID_ARGUMENT"}') == 1
    latency = ':tensorflow:serving:request_latency_count{API="predict",entrypoint="REST",model_name="half"}'
    assert grown(latency) == 1
    assert grown(latency.replace("_count{", "_sum{")) > 100, "microseconds"
    runtime = ':tensorflow:serving:runtime_latency_count{API="Predict",model_name="half",runtime="TF1"}'
    assert grown(runtime) == 1
    assert grown(':tensorflow:serving:request_example_count_total{model="examples"}') == 3
    assert grown(':tensorflow:serving:request_example_counts_count{model="examples"}') == 1


def test_metrics_have_their_types(client: Client) -> None:
    client.post("examples:regress", {"examples": [{"x": 1.0}]})
    lines = client.ask("GET", "/monitoring/prometheus/metrics")[1].decode().splitlines()
    for name, kind in (
        (":tensorflow:serving:request_count", "counter"),
        (":tensorflow:serving:request_example_count_total", "counter"),
        (":tensorflow:serving:request_latency", "histogram"),
        (":tensorflow:serving:runtime_latency", "histogram"),
        (":tensorflow:cc:saved_model:load_attempt_count", "counter"),
    ):
        assert f"# TYPE {name} {kind}" in lines
    buckets = [line for line in lines if line.startswith(":tensorflow:serving:request_latency_bucket")]
    assert any('le="+Inf"' in line for line in buckets) and any('le="10.0"' in line for line in buckets)
