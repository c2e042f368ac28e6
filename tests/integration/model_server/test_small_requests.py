"""Small requests that wait at the same time are computed together, and each gets the answer that it gets alone."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import Future
from typing import Any

import pytest
from tensorflow_serving.apis import model_pb2

from serving.model_server import json_requests, json_responses, small_requests
from serving.model_server import together as together_
from serving.model_server.calls import Calls
from serving.model_server.faults import Code, Fault
from serving.model_server.inference import Inference
from serving.model_server.servable import Servable
from serving.model_server.small_requests import SmallRequests
from tests.integration.model_server.counting import OneModel
from tests.unit.trainer.planted_model import LEFT, RIGHT

FILTERS: dict[str, Any] = {"exclude": ["b"], "candidates": []}
SPEC = model_pb2.ModelSpec(name="words")


@pytest.fixture
def service(servable: Servable, monkeypatch: pytest.MonkeyPatch) -> OneModel:
    monkeypatch.setattr(small_requests, "_THREADS", 1)
    return OneModel(servable)


def together(service: OneModel, bodies: list[dict[str, Any]], cancelled: int | None = None) -> list[Any]:
    """Returns the answers or faults to requests that wait at the same time. `None` are those computed alone."""

    async def ask() -> list[Any]:
        calls = Calls(service.limits)
        small = SmallRequests(service)

        def alone() -> Future[bytes]:
            future: Future[bytes] = Future()
            future.set_result(b"null")
            return future

        futures = []
        for number, body in enumerate([bodies[0], *bodies]):  # the first one keeps the thread
            call = calls.begin()
            if cancelled is not None and number == cancelled + 1:
                call.cancel()
            futures.append(small.start(SPEC, json.dumps(body).encode(), call, False, alone))
            if number == 0:
                await asyncio.to_thread(service.entered.wait, 10)
        service.open.set()
        answers = await asyncio.wait_for(asyncio.gather(*futures, return_exceptions=True), 20)
        small.close()
        if None not in answers and b"null" not in answers:
            assert calls.running == 0, "every call is closed"
        return [json.loads(answer) if isinstance(answer, bytes) else answer for answer in answers[1:]]

    return asyncio.run(ask())


def alone(service: OneModel, servable: Servable, body: dict[str, Any]) -> Any:
    name = json_requests.signature_name(body)
    inputs, as_rows = json_requests.inputs_of(body, servable.signature(name))
    call = Calls(service.limits).begin()
    return json.loads(
        json_responses.answer(Inference.predict(service.inference, call, servable, name, inputs), as_rows)
    )


def text(*ids: bytes) -> list[str]:
    return [name.decode("utf-8", "replace") for name in ids]


def score(left: list[str], right: list[str]) -> dict[str, Any]:
    return {"signature_name": "score", "inputs": {"left_id": left, "right_id": right}}


def ranking(left: list[str], k: int) -> dict[str, Any]:
    return {"signature_name": "similar_right", "inputs": {"left_id": left, "k": k}}


def same(actual: Any, expected: Any) -> bool:
    """Compares documents. A matrix product of more rows can round a score differently."""
    if isinstance(expected, dict):
        return actual.keys() == expected.keys() and all(same(actual[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(actual) == len(expected) and all(map(same, actual, expected))
    return actual == (pytest.approx(expected, abs=1e-6) if isinstance(expected, float) else expected)


def test_each_gets_its_own_answer(service: OneModel, servable: Servable) -> None:
    left, right = text(*LEFT[:4]), text(*RIGHT[:4])
    rows = [{"left_id": one, "right_id": other} for one, other in zip(left, right, strict=True)]
    bodies = [
        *(score([one], [other]) for one in left for other in right),
        score(left, right),
        {"signature_name": "score", "instances": rows},
        *(ranking([one], 3) for one in left),
        ranking(left, 3),
        ranking(left[:1], 2),
        *({"signature_name": "embed_left", "inputs": {"left_id": [one]}} for one in left),
        score(["never seen"], right[:1]),
    ]
    answers = together(service, bodies)
    assert all(same(answer, alone(service, servable, body)) for answer, body in zip(answers, bodies, strict=True))
    # The first request of all came alone. Scores, rankings of 3, the one of 2, and embeddings are a call each.
    assert sorted(service.inference.rows) == [1, 1, 4, 8, 16 + 4 + 4 + 1]


def test_faults_stay_with_their_request(service: OneModel, servable: Servable) -> None:
    left, right = text(*LEFT[:2]), text(*RIGHT[:2])
    bodies = [
        score(left[:1], right[:1]),
        score(left, right[:1]),
        score(left[:1], right),
        {"signature_name": "no such", "inputs": {}},
        score([7], right[:1]),  # type: ignore[list-item]
        {"signature_name": "score"},
        score(left[1:], right[1:]),
    ]
    answers = together(service, bodies)
    assert same(answers[0], alone(service, servable, bodies[0]))
    assert same(answers[-1], alone(service, servable, bodies[-1]))
    assert answers[1:3] == [None, None], "unequal numbers of ids are left to the model"
    assert [fault.code for fault in answers[3:6]] == [Code.INVALID_ARGUMENT] * 3
    assert all(fault.__context__ is None for fault in answers[3:6]), "no fault holds its request"


def test_failed_call_is_repeated_for_each(service: OneModel, servable: Servable) -> None:
    service.inference.fails_together = True
    bodies = [score([one], text(RIGHT[0])) for one in text(*LEFT[:3])]
    assert all(
        same(answer, alone(service, servable, body))
        for answer, body in zip(together(service, bodies), bodies, strict=True)
    )
    assert sorted(service.inference.rows) == [1, 1, 1, 1, 3]


def test_nobody_computes_for_a_client_that_left(service: OneModel) -> None:
    bodies = [score([one], text(RIGHT[0])) for one in text(*LEFT[:3])]
    answers = together(service, bodies, cancelled=1)
    assert answers[1].code is Code.CANCELLED
    assert sorted(service.inference.rows) == [1, 2]


@pytest.mark.parametrize(
    "body",
    [
        score(["a"] * 65, ["b"] * 65),
        ranking(["a"], 10**6),
        ranking(["a"], 0),
        {"signature_name": "similar_right_filtered", "inputs": {**ranking(["a"], 3)["inputs"], **FILTERS}},
    ],
)
def test_other_requests_are_computed_alone(service: OneModel, body: dict[str, Any]) -> None:
    assert together(service, [score(["a"], ["b"]), body])[1] is None


def test_large_rankings_are_computed_alone(service: OneModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together_, "_SMALL_RANKING", 3)
    assert together(service, [score(["a"], ["b"]), ranking(["a"], 2)])[1] is None


def test_only_request_is_answered_at_once(service: OneModel, servable: Servable) -> None:
    service.open.set()
    good, bad = score(text(LEFT[0]), text(RIGHT[0])), {"signature_name": "no such", "inputs": {}}
    other = {"signature_name": "similar_right_filtered", "inputs": {**ranking(["a"], 3)["inputs"], **FILTERS}}

    async def ask() -> None:
        calls, small = Calls(service.limits), SmallRequests(service)  # type: ignore[arg-type]
        later: Future[bytes] = Future()

        def start(body: dict[str, Any]) -> Any:
            return small.start(SPEC, json.dumps(body).encode(), calls.begin(), True, lambda: later)

        assert same(json.loads(start(good)), alone(service, servable, good))
        with pytest.raises(Fault) as refused:
            start(bad)
        assert refused.value.code is Code.INVALID_ARGUMENT
        assert calls.running == 0
        waiting = start(other)
        assert not waiting.done()
        later.set_result(b"null")
        assert await waiting == b"null"
        small.close()

    asyncio.run(ask())


def test_request_that_nothing_computes_any_more_gets_a_fault(service: OneModel) -> None:
    """The server stops, and its pool drops the work."""
    service.open.set()
    dropped: Future[bytes] = Future()
    dropped.cancel()

    async def ask() -> Any:
        small = SmallRequests(service)  # type: ignore[arg-type]
        body = json.dumps(ranking(["a"], 10**6)).encode()
        future = small.start(SPEC, body, Calls(service.limits).begin(), True, lambda: dropped)
        small.close()
        return (await asyncio.wait_for(asyncio.gather(future, return_exceptions=True), 20))[0]

    assert asyncio.run(ask()).code is Code.UNAVAILABLE


def test_threads_end(servable: Servable) -> None:
    def mine() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name.startswith("small-")} - before

    before: set[threading.Thread] = set()
    before = mine()  # those of other tests, which may still end
    small = SmallRequests(OneModel(servable))  # type: ignore[arg-type]
    started = mine()
    assert started
    small.close()
    for thread in started:
        thread.join(10)
    assert not mine()
