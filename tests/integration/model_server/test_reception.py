"""Small gRPC requests that wait at the same time are computed together, and each gets the answer that it gets alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from serving.model_server import giving_way, together
from serving.model_server.arrivals import Arrivals
from serving.model_server.calls import unlimited
from serving.model_server.faults import Code, Fault
from serving.model_server.reception import Reception
from serving.model_server.rpc import PREDICT, PredictionService
from serving.model_server.servable import Servable
from tests.integration.model_server.counting import OneModel
from tests.unit.trainer.planted_model import LEFT, RIGHT

OTHER = "/tensorflow.serving.PredictionService/Classify"
_PLACES = 4


class Unary:
    """A call. Its message arrives when `arrive` is called."""

    def __init__(self, method: str = PREDICT, metadata: tuple = (), peer: str = "ipv4:127.0.0.1") -> None:
        self.method, self.metadata, self.peer = method.encode(), metadata, peer
        self.receives = self.gone = False
        self.outcome: Any = None

    def receive(self) -> bool:
        self.receives = not self.gone
        return self.receives

    def is_active(self) -> bool:
        return not self.gone and self.outcome is None

    def cancel(self) -> None:
        self.gone = True

    def answer(self, message: bytes) -> None:
        assert self.outcome is None, "one answer"
        self.outcome = message

    def refuse(self, code: grpc.StatusCode, details: str) -> None:
        assert self.outcome is None, "one answer"
        self.outcome = code


class _Later(Executor):
    """Runs the submitted work when a test calls `run`."""

    def __init__(self) -> None:
        self.work: list[Callable[[], None]] = []

    def submit(self, function: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.work.append(lambda: future.set_result(function(*arguments, **named)))
        return future

    def run(self) -> None:
        while self.work:
            self.work.pop(0)()


@pytest.fixture
def service(servable: Servable) -> OneModel:
    service = OneModel(servable)
    service.open.set()
    return service


@pytest.fixture
def pool() -> _Later:
    return _Later()


@pytest.fixture
def reception(service: OneModel, pool: _Later) -> Iterator[Reception]:
    arrivals = Arrivals(30, _PLACES)
    answers = {PREDICT: lambda message, _: b"alone " + message[:1], OTHER: lambda *_: b"other"}
    predictions = PredictionService(service, False)  # type: ignore[arg-type]
    yield Reception(service, predictions, answers, pool, _PLACES, arrivals, None)  # type: ignore[arg-type]
    arrivals.close()


def request(signature: str, **inputs: Any) -> bytes:
    made = predict_pb2.PredictRequest(model_spec={"name": "words", "signature_name": signature})
    for name, value in inputs.items():
        made.inputs[name].CopyFrom(tf.make_tensor_proto(value, tf.int32 if name == "k" else None))
    return made.SerializeToString()


def ask(reception: Reception, messages: list[bytes], gone: int | None = None) -> list[Any]:
    """Sends messages that wait at the same time. Returns the responses or status codes."""
    calls = [Unary() for _ in messages]
    for number, (call, message) in enumerate(zip(calls, messages, strict=True)):
        reception.begun(call)  # type: ignore[arg-type]
        assert call.receives, "a small message leaves its place at once"
        call.gone = number == gone
        reception.received(call, message)  # type: ignore[arg-type]
        assert call.outcome is None
    reception.idle()
    return [
        predict_pb2.PredictResponse.FromString(call.outcome)
        if isinstance(call.outcome, bytes) and not call.outcome.startswith(b"alone")
        else call.outcome
        for call in calls
    ]


def arrays(response: Any) -> dict[str, list]:
    return {name: tf.make_ndarray(proto).tolist() for name, proto in response.outputs.items()}


def test_each_gets_its_own_answer(reception: Reception, service: OneModel, servable: Servable) -> None:
    left, right = list(LEFT[:4]), list(RIGHT[:4])
    asked = [
        *(("score", {"left_id": [one], "right_id": [other]}) for one in left for other in right),
        ("score", {"left_id": left, "right_id": right}),
        *(("similar_right", {"left_id": [one], "k": 3}) for one in left),
        ("similar_right", {"left_id": left[:1], "k": 2}),
        ("embed_left", {"left_id": [b"never seen"]}),
    ]
    responses = ask(reception, [request(name, **inputs) for name, inputs in asked])
    assert sorted(service.inference.rows) == [1, 1, 4, 20]
    for (name, inputs), response in zip(asked, responses, strict=True):
        signature = servable.signature(name)
        feeds = {
            info.name: np.array(inputs[alias], np.int32 if alias == "k" else object)
            for alias, info in signature.inputs.items()
        }
        expected = servable.run(feeds, list(servable.outputs_of(name).values()))
        for alias, array in zip(servable.outputs_of(name), expected, strict=True):
            kind = {"rtol": 0, "atol": 1e-6} if name != "score" else {"rtol": 0, "atol": 0}
            actual = tf.make_ndarray(response.outputs[alias])
            assert actual.dtype == array.dtype
            np.testing.assert_allclose(
                actual, array, **kind
            ) if array.dtype.kind == "f" else np.testing.assert_array_equal(actual, array)
        assert (response.model_spec.name, response.model_spec.signature_name) == ("words", name)
        assert response.model_spec.version.value == 1
    assert service.counted == ["words Predict GRPC"] * len(asked)
    assert len(service.logged) == len(asked)
    assert service.calls.running == 0, "every call is closed"


def test_faults_stay_with_their_request(reception: Reception, service: OneModel) -> None:
    good = request("score", left_id=[LEFT[0]], right_id=[RIGHT[0]])
    messages = [
        good,
        b"\xff",
        request("no such", left_id=[LEFT[0]]),
        request("score", left_id=[LEFT[0]]),
        request("score", left_id=[1.5], right_id=[RIGHT[0]]),
        good,
    ]
    first, *faults, last = ask(reception, messages)
    assert arrays(first) == arrays(last)
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    assert faults == [invalid, grpc.StatusCode.FAILED_PRECONDITION, invalid, invalid]
    # What is no message has no model, as without waiting for others.
    assert sorted(service.counted) == [
        "words FAILED_PRECONDITION",
        *["words INVALID_ARGUMENT"] * 2,
        *["words Predict GRPC"] * 2,
    ]
    assert service.calls.running == 0


def test_failed_call_is_repeated_for_each(reception: Reception, service: OneModel) -> None:
    service.inference.fails_together = True
    messages = [request("score", left_id=[one], right_id=[RIGHT[0]]) for one in LEFT[:3]]
    assert all(not isinstance(response, grpc.StatusCode) for response in ask(reception, messages))
    assert sorted(service.inference.rows) == [1, 1, 1, 3]


def test_nobody_computes_for_a_client_that_left(reception: Reception, service: OneModel) -> None:
    messages = [request("score", left_id=[one], right_id=[RIGHT[0]]) for one in LEFT[:3]]
    assert ask(reception, messages, gone=1)[1] is grpc.StatusCode.CANCELLED
    assert service.inference.rows == [2]


def test_other_requests_are_computed_alone(reception: Reception, service: OneModel, pool: _Later) -> None:
    filtered = predict_pb2.PredictRequest.FromString(request("score", left_id=[LEFT[0]], right_id=[RIGHT[0]]))
    filtered.output_filter.append("score")
    messages = [
        filtered.SerializeToString(),
        request("score", left_id=[LEFT[0]] * 65, right_id=[RIGHT[0]] * 65),
        request("similar_right", left_id=[LEFT[0]], k=10**6),
    ]
    calls = [Unary() for _ in messages]
    for call, message in zip(calls, messages, strict=True):
        reception.begun(call)  # type: ignore[arg-type]
        reception.received(call, message)  # type: ignore[arg-type]
    reception.idle()
    assert service.calls.running == 0, "the thread of the pool counts them"
    pool.run()
    assert [call.outcome[:5] for call in calls] == [b"alone"] * 3
    assert service.inference.rows == []


def test_slow_signature_does_not_keep_the_thread(reception: Reception, service: OneModel, pool: _Later) -> None:
    """A signature of someone else can have the inputs of Kindred's. After three slow calls, the pool computes it."""
    message, other = (request(name, left_id=[LEFT[0]]) for name in ("embed_left", "no such"))
    servable = service._servable
    try:
        for seconds in (0.1, 0.1, 0.01, 0.1, 0.1):
            servable.took("embed_left", seconds)
        assert not isinstance(ask(reception, [message])[0], bytes), "a fast call ends the count"
        for _ in range(3):
            servable.took("embed_left", 0.1)
        call = Unary()
        reception.begun(call)  # type: ignore[arg-type]
        reception.received(call, message)  # type: ignore[arg-type]
        reception.idle()
        assert call.outcome is None
        pool.run()
        assert call.outcome[:5] == b"alone"
        assert ask(reception, [other]) == [grpc.StatusCode.FAILED_PRECONDITION], "others are answered as before"
    finally:
        servable._slow_until.clear()


def test_outputs_in_any_order_are_one_prepared_call(
    servable: Servable, service: OneModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients choose outputs, and each prepared call needs memory."""
    inputs = {name: np.array([b"a"], object) for name in ("left_id", "right_id")}

    def prepared(*wanted: str) -> set[Any]:
        service.inference.predict(unlimited(), servable, "score", inputs, wanted)
        return {fetches for _, fetches in servable._callables}

    first = prepared("score", "value")
    assert prepared("value", "score") == first
    monkeypatch.setattr("serving.model_server.servable._CALLABLES", 1)
    for wanted in (("score",), ("value",), ("strength",)):
        assert len(prepared(*wanted)) == 1


def test_unforeseen_error_ends_no_thread(
    reception: Reception, service: OneModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(together, "answer", broken)
    message = request("score", left_id=[LEFT[0]], right_id=[RIGHT[0]])
    assert ask(reception, [message, message]) == [grpc.StatusCode.INTERNAL] * 2
    assert service.calls.running == 0


def test_large_messages_keep_their_place(reception: Reception, pool: _Later) -> None:
    """At most `_PLACES` large messages are in memory at a time."""
    calls = [Unary() for _ in range(_PLACES + 3)]
    for call in calls:
        reception.begun(call)  # type: ignore[arg-type]
    assert [call.receives for call in calls] == [True] * _PLACES + [False] * 3
    large = b"x" * (together.MOST_BYTES + 1)
    for call in calls[:_PLACES]:
        reception.received(call, large)  # type: ignore[arg-type]
    assert not calls[_PLACES].receives
    calls[_PLACES].gone = True
    reception.ended(calls[_PLACES])  # type: ignore[arg-type]
    pool.run()
    assert [call.outcome for call in calls[:_PLACES]] == [b"alone x"] * _PLACES
    assert [call.receives for call in calls[_PLACES:]] == [False, True, True], "who has gone gets no place"


def test_call_without_a_message_leaves_its_place(reception: Reception) -> None:
    calls = [Unary() for _ in range(2 * _PLACES)]
    for call in calls:
        reception.begun(call)  # type: ignore[arg-type]
    calls[_PLACES].gone = True
    for call in calls[:_PLACES]:
        reception.received(call, None)  # type: ignore[arg-type]
    assert {call.outcome for call in calls[:_PLACES]} == {grpc.StatusCode.INVALID_ARGUMENT}
    assert [call.receives for call in calls[_PLACES:]] == [False] + [True] * (_PLACES - 1)


def test_busy_server_refuses(reception: Reception, service: OneModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise Fault(Code.RESOURCE_EXHAUSTED, "full")

    monkeypatch.setattr(service.calls, "begin", full)
    call = Unary()
    reception.begun(call)  # type: ignore[arg-type]
    reception.received(call, request("score"))  # type: ignore[arg-type]
    assert call.outcome is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_other_methods_run_in_the_pool(reception: Reception, pool: _Later) -> None:
    call = Unary(OTHER)
    reception.begun(call)  # type: ignore[arg-type]
    reception.received(call, b"")  # type: ignore[arg-type]
    reception.idle()
    assert call.outcome is None
    pool.run()
    assert call.outcome == b"other"


def _begun(reception: Reception, *peers: str) -> list[Unary]:
    calls = [Unary(peer=peer) for peer in peers]
    for call in calls:
        reception.begun(call)  # type: ignore[arg-type]
    return calls


def test_last_call_enters_first_while_messages_stall(reception: Reception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise one call after a wall of others whose messages never come would wait for all of them."""
    monkeypatch.setattr(Arrivals, "stall", True)
    calls = _begun(reception, *"a" * _PLACES, "a", "b", "a", "a")
    for first, entering in ((calls[0], calls[5]), (calls[1], calls[7]), (calls[2], calls[6])):
        assert not entering.receives
        reception.received(first, None)  # type: ignore[arg-type]
        assert entering.receives
    assert not calls[4].receives


def test_full_server_refuses_the_stalled_and_not_the_new(reception: Reception, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = _begun(reception, *"a" * (_PLACES + 2))
    reception.received(calls[0], b"x" * (together.MOST_BYTES + 1))  # type: ignore[arg-type]
    new = Unary(peer="a")
    assert not reception.makes_room(new), "all are young"  # type: ignore[arg-type]
    monkeypatch.setattr(giving_way, "PATIENCE_SECONDS", -1.0)
    assert reception.makes_room(new)  # type: ignore[arg-type]
    refused = [call.outcome is grpc.StatusCode.RESOURCE_EXHAUSTED for call in calls]
    assert refused == [False, True, *[False] * _PLACES], "the oldest whose message is not here"
    monkeypatch.undo()
    assert reception.makes_room(Unary(peer="b")), "one client has all places"  # type: ignore[arg-type]
