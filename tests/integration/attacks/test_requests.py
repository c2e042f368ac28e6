"""Small requests that ask for much: every one is refused before memory is allocated, with the client's fault."""

from __future__ import annotations

import gc
import json
import random
import time

import grpc
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import classification_pb2, inference_pb2, predict_pb2

from tests.integration.attacks.victim import ENTITIES, MIB, Victim
from tests.integration.model_server import running
from tests.integration.model_server.saved_models import write_half

CLIENT_FAULTS = {"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED"}


def predict(victim: Victim, model: str, signature: str = "", **inputs: tensor_pb2.TensorProto) -> str:
    """Returns the status code of a Predict call."""
    request = predict_pb2.PredictRequest(model_spec={"name": model, "signature_name": signature}, inputs=inputs)
    return code(victim.client.prediction.Predict, request)


def code(call: grpc.UnaryUnaryMultiCallable, request: object) -> str:
    try:
        call(request, timeout=30)
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


def tensor(kind: int, *shape: int, **values: object) -> tensor_pb2.TensorProto:
    return tensor_pb2.TensorProto(dtype=kind, tensor_shape={"dim": [{"size": size} for size in shape]}, **values)


HUGE = 10**9


@pytest.mark.parametrize(
    ("model", "expected"), [("no such model", "NOT_FOUND"), ("half", "INVALID_ARGUMENT"), ("types", "INVALID_ARGUMENT")]
)
def test_claimed_shape_allocates_nothing(victim: Victim, model: str, expected: str) -> None:
    strings = tensor(tf.string.as_datatype_enum, HUGE, string_val=[b""])
    floats = tensor(tf.float32.as_datatype_enum, 1, HUGE, float_val=[1.0])
    signature = "echo_string" if model == "types" else ""
    with victim.attacked(peak=100 * MIB):
        assert predict(victim, model, signature, x=strings) == expected
        assert predict(victim, model, "echo_float32" if model == "types" else "", x=floats) == expected
        assert predict(victim, model, signature, unknown=strings) == expected


@pytest.mark.parametrize(
    "shape",
    [
        (HUGE,),
        (1, HUGE),
        (10**12,),
        (2**62, 4),
        (-1,),
        (-5, -5),
        (3_000_000_000, 0, 7),
        (1,) * 65,
        (0,) * 300,
        (100_001,),
    ],
)
@pytest.mark.parametrize("kind", ["string", "float32", "int8", "bool", "float64"])
def test_impossible_shape_is_a_client_fault(victim: Victim, shape: tuple[int, ...], kind: str) -> None:
    sent = tensor(tf.as_dtype(kind).as_datatype_enum, *shape)
    assert predict(victim, "types", f"echo_{kind}", x=sent) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("number", [0, 20, 21, 34, 99, 101, 120, 999, -1])
def test_type_without_values_is_a_client_fault(victim: Victim, number: int) -> None:
    """DT_INVALID, DT_RESOURCE, DT_VARIANT, reference types, and numbers of no type."""
    for signature in ("echo_string", "echo_float32"):
        assert predict(victim, "types", signature, x=tensor(number, 2)) == "INVALID_ARGUMENT"


def test_content_must_fill_the_shape(victim: Victim) -> None:
    kind = tf.float32.as_datatype_enum
    for shape, content in (((2,), b"1234"), ((1,), b"12345"), ((1,), b"12345678"), ((HUGE,), b"1234")):
        assert predict(victim, "types", "echo_float32", x=tensor(kind, *shape, tensor_content=content)) == (
            "INVALID_ARGUMENT"
        )
    too_large = tensor(tf.int8.as_datatype_enum, 1, int_val=[1000])
    assert predict(victim, "types", "echo_int8", x=too_large) == "INVALID_ARGUMENT"


def test_repeated_value_is_expanded(victim: Victim) -> None:
    """TensorFlow repeats the last value of a shorter list (`Tensor::FromProto`). Clients rely on it."""
    request = predict_pb2.PredictRequest(model_spec={"name": "half"})
    request.inputs["x"].CopyFrom(tensor(tf.float32.as_datatype_enum, 5, float_val=[2.0, 4.0]))
    answer = victim.client.prediction.Predict(request)
    assert list(answer.outputs["y"].float_val) == [4.0, 5.0, 5.0, 5.0, 5.0]


def test_context_is_not_copied_without_bound(victim: Victim) -> None:
    """A context of 1 MiB is merged into each of 50,000 examples: 50 GiB."""
    request = classification_pb2.ClassificationRequest(model_spec={"name": "examples", "signature_name": "classify"})
    listed = request.input.example_list_with_context
    listed.context.features.feature["x"].bytes_list.value.append(bytes(MIB))
    for _ in range(50_000):
        listed.examples.add()
    context = {"x": "a" * MIB}
    body = json.dumps({"context": context, "examples": [{}] * 50_000}).encode()
    with victim.attacked(peak=300 * MIB):
        assert code(victim.client.prediction.Classify, request) == "INVALID_ARGUMENT"
        assert victim.client.ask("POST", "/v1/models/examples:regress", body)[0] == 400


def test_many_tasks_are_refused_quickly(victim: Victim) -> None:
    request = inference_pb2.MultiInferenceRequest()
    for number in range(100_000):
        request.tasks.add(model_spec={"name": "examples", "signature_name": str(number)}, method_name="x")
    with victim.attacked(peak=300 * MIB):
        assert code(victim.client.prediction.MultiInference, request) in CLIENT_FAULTS


def _random_field(chance: random.Random, depth: int = 0) -> bytes:
    """Returns a random field in wire format. Nested messages, numbers of all widths, and lengths that are not true."""
    number, kind = chance.randrange(1, 20), chance.choice((0, 1, 2, 2, 2, 5))
    if kind == 0:
        content = chance.choice((b"\x00", b"\x01", b"\x07", b"\xff\xff\xff\xff\x7f", b"\xff" * 9 + b"\x01"))
    elif kind == 2:
        nested = b"".join(_random_field(chance, depth + 1) for _ in range(chance.randrange(4))) if depth < 6 else b"x"
        content = bytes([len(nested) % 128]) + nested
    else:
        content = chance.randbytes(8 if kind == 1 else 4)
    return bytes([(number << 3 | kind) & 0x7F]) + content


@pytest.mark.parametrize("seed", range(3))
def test_random_messages_never_hurt(victim: Victim, seed: int) -> None:
    chance = random.Random(seed)
    valid = predict_pb2.PredictRequest(model_spec={"name": "types", "signature_name": "echo_string"})
    valid.inputs["x"].CopyFrom(tf.make_tensor_proto([b"a", b"b"]))
    template = valid.SerializeToString()
    with victim.attacked(), grpc.insecure_channel(f"127.0.0.1:{victim.client.grpc_port}") as channel:
        calls = [
            channel.unary_unary(f"/tensorflow.serving.PredictionService/{name}")
            for name in ("Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata")
        ]
        for turn in range(150):
            message = bytearray(template)
            if turn % 2:
                message += b"".join(_random_field(chance) for _ in range(chance.randrange(1, 5)))
            for _ in range(chance.randrange(3)):
                message[chance.randrange(len(message))] = chance.randrange(256)
            found = code(chance.choice(calls), bytes(message))
            assert found in {*CLIENT_FAULTS, "OK"}, bytes(message)


@pytest.mark.parametrize("kind", ["strings", "dimensions", "examples", "tasks"])
def test_empty_fields_are_counted_before_parsing(victim: Victim, kind: str) -> None:
    """32 MiB of fields of two bytes would become 500 to 900 MiB."""
    count = 16 << 20
    path, message = {
        "strings": ("Predict", _field(2, _field(1, b"x") + _field(2, b"\x42\x00" * count))),
        "dimensions": ("Predict", _field(2, _field(1, b"x") + _field(2, _field(2, b"\x12\x00" * count)))),
        "examples": ("Classify", _field(2, _field(1, b"\x0a\x00" * count))),
        "tasks": ("MultiInference", b"\x0a\x00" * count),
    }[kind]
    with victim.attacked(peak=200 * MIB), grpc.insecure_channel(f"127.0.0.1:{victim.client.grpc_port}") as channel:
        call = channel.unary_unary(f"/tensorflow.serving.PredictionService/{path}")
        assert code(call, message) == "INVALID_ARGUMENT"


def _field(number: int, content: bytes) -> bytes:
    """Returns a field of bytes in wire format."""
    size, length = bytearray(), len(content)
    while length > 127:
        size.append(length & 127 | 128)
        length >>= 7
    return bytes([number << 3 | 2, *size, length]) + content


def test_answer_is_bounded_before_it_is_computed(victim: Victim) -> None:
    ids = [str(i % ENTITIES) for i in range(99_000)]
    with victim.attacked(peak=250 * MIB):
        status, answer = victim.rank(ids, 1000)
        assert status == 400
        assert "max_output_bytes" in answer["error"] and f"k={ENTITIES}" in answer["error"], "k is clipped first"


def test_large_ranking_is_right(victim: Victim) -> None:
    """More rows than fit into one piece: every row has the answers to its request."""
    ids = [str(i * 7 % ENTITIES) for i in range(99_000)]
    with victim.attacked(peak=700 * MIB, kept=300 * MIB):
        status, answer = victim.rank(ids, 3)
    assert status == 200
    nearest = {name: victim.rank([name], 3)[1]["outputs"]["right_id"][0] for name in ("0", "7", "133", "199")}
    rows = answer["outputs"]["right_id"]
    assert len(rows) == len(ids) and [row[0] for row in rows] == ids
    assert all(rows[at] == nearest[name] for at, name in enumerate(ids) if name in nearest)


@pytest.mark.parametrize(("k", "expected"), [(0, 0), (-3, 0), (2**31 - 1, ENTITIES), (ENTITIES + 1, ENTITIES)])
def test_k_is_clipped(victim: Victim, k: int, expected: int) -> None:
    status, answer = victim.rank(["5", "6"], k)
    assert status == 200
    assert [len(row) for row in answer["outputs"]["right_id"]] == [expected, expected]


@pytest.mark.parametrize(
    ("signature", "inputs"),
    [
        ("echo_float32", b"[1" + b"0" * 400 + b"]"),
        ("echo_float64", b"[1" + b"0" * 400 + b"]"),
        ("echo_int64", b"[1" + b"0" * 400 + b"]"),
        ("echo_float64", b"[1e400]"),
        ("echo_float64", b"[1" + b"0" * 5000 + b"]"),
        ("echo_float32", b"[" * 100 + b"1" + b"]" * 100),
        ("echo_float32", b"[" * 900 + b"1" + b"]" * 900),
        ("echo_float32", b"[" * 100_000),
        ("echo_string", b"[" * 300 + b'"a"' + b"]" * 300),
        ("echo_string", b'["\\ud800"]'),
        ("echo_string", b'["\xff"]'),
        ("echo_string", b'[{"b64": {"b64": "YQ=="}}]'),
        ("echo_string", b'[{"a": ' * 400 + b"1" + b"}]" * 400),
        ("echo_float32", b'[{"a": [' + b"1," * 10_000 + b"1]}]"),
        ("echo_float32", b"[" + b"[]," * 1000 + b"[1]]"),
    ],
)
def test_strange_json_is_a_client_fault(victim: Victim, signature: str, inputs: bytes) -> None:
    body = b'{"signature_name": "%s", "inputs": %s}' % (signature.encode(), inputs)
    status, content, _ = victim.client.ask("POST", "/v1/models/types:predict", body)
    assert status == 400, content
    assert len(json.loads(content)["error"]) < 1000


def test_unknown_names_do_not_grow_the_metrics(victim: Victim) -> None:
    def page() -> bytes:
        return victim.client.ask("GET", "/monitoring/prometheus/metrics")[1]

    victim.client.post("nobody:predict", {"instances": [1]})
    before = page()
    for number in range(50):
        assert victim.client.post(f"nobody-{number}:predict", {"instances": [1]})[0] == 404
    assert page().count(b"\n") == before.count(b"\n")
    assert b'request_count{model_name="(unknown)",status="NOT_FOUND"}' in before


def test_failed_request_is_freed_at_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Without the garbage collector, so that a reference cycle would stay."""
    folder = tmp_path_factory.mktemp("half")
    write_half(folder / "1")
    with running.here(f"--model_base_path={folder}", "--model_name=half") as client:
        request = predict_pb2.PredictRequest(model_spec={"name": "half"})
        gc.collect()
        gc.disable()
        try:
            for body in (b"{", b'{"instances": ["a"]}', b'{"instances": [1], "signature_name": "none"}'):
                assert client.ask("POST", "/v1/models/half:predict", body)[0] == 400
            assert client.ask("POST", "/v1/models/none:predict", b'{"instances": [1]}')[0] == 404
            assert code(client.prediction.Predict, request) == "INVALID_ARGUMENT"
            request.model_spec.name = "none"
            assert code(client.prediction.Predict, request) == "NOT_FOUND"
            deadline = time.monotonic() + 20  # the client has its answer before the thread of the server ends
            while (left := _faults()) and time.monotonic() < deadline:
                time.sleep(0.02)
        finally:
            gc.enable()
    assert left == []


def _faults() -> list[str]:
    """Returns descriptions of the faults in memory. The faults themselves would stay in memory with the list."""
    from serving.model_server.faults import Fault

    return [repr(one) for one in gc.get_objects() if isinstance(one, Fault)]
