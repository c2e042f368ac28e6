"""gRPC calls whose message does not arrive. A proxy passes on the beginning of what each client sends, and no more."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tests.integration.attacks.test_bodies import head, status_so_far
from tests.integration.attacks.victim import Victim
from tests.integration.model_server import running
from tests.integration.model_server.saved_models import write_half

_THREADS = 4
_TIMEOUT_SECONDS = 3
_MOST = 8
# More than the frames that open a connection and a call, and less than the message.
_PASSED_BYTES = 2000


@pytest.fixture(scope="module")
def few_threads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """A server with four threads for gRPC, and three seconds for a message."""
    folder = tmp_path_factory.mktemp("half")
    write_half(Path(folder) / "1", 3.0)
    flags = [f"--model_base_path={folder}", "--model_name=half", f"--grpc_max_threads={_THREADS}"]
    flags += ["--enable_grpc_healthcheck_service", f"--body_timeout_seconds={_TIMEOUT_SECONDS}"]
    with running.process(running.OURS, *flags) as (client, process):
        client.wait("half", 1, "AVAILABLE")
        yield Victim(client, process.pid)
        assert process.poll() is None


@contextlib.contextmanager
def stalling_proxy(port: int) -> Iterator[int]:
    """Listens on a port of its own. Passes on all answers, and `_PASSED_BYTES` of each request."""
    stopped = threading.Event()

    def pump(source: socket.socket, target: socket.socket, most: float) -> None:
        with contextlib.suppress(OSError):
            while not stopped.is_set() and (data := source.recv(1 << 16)):
                target.sendall(data[: int(max(min(most, len(data)), 0))])
                most -= len(data)
            target.shutdown(socket.SHUT_WR)

    opened: list[socket.socket] = []

    def accept(listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                server = socket.create_connection(("127.0.0.1", port))
                opened.extend((client, server))
                threading.Thread(target=pump, args=(client, server, _PASSED_BYTES), daemon=True).start()
                threading.Thread(target=pump, args=(server, client, float("inf")), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, args=(listening,), daemon=True).start()
        yield int(listening.getsockname()[1])
        stopped.set()
        listening.shutdown(socket.SHUT_RDWR)
    for one in opened:
        one.close()


def request(values: int) -> predict_pb2.PredictRequest:
    made = predict_pb2.PredictRequest(model_spec={"name": "half"})
    made.inputs["x"].CopyFrom(tf.make_tensor_proto([8.0] * values))
    return made


@contextlib.contextmanager
def stalled(port: int, calls: int) -> Iterator[list[grpc.Future]]:
    """Starts calls over connections of their own, whose messages stop on their way."""
    with contextlib.ExitStack() as stack:
        through = stack.enter_context(stalling_proxy(port))
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.insecure_channel(f"127.0.0.1:{through}", options) for _ in range(calls)]
        for channel in channels:
            stack.callback(channel.close)
        yield [
            prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict.future(request(100_000))
            for channel in channels
        ]


def test_message_that_stalls_is_cancelled_in_time(few_threads: Victim) -> None:
    started = time.monotonic()
    with stalled(few_threads.client.grpc_port, 1) as (call,):
        assert call.exception(timeout=20).code() == grpc.StatusCode.CANCELLED
        assert _TIMEOUT_SECONDS - 0.5 < time.monotonic() - started < _TIMEOUT_SECONDS + 5


def test_stalled_messages_give_way_to_others(few_threads: Victim) -> None:
    before = few_threads.vitals()
    with stalled(few_threads.client.grpc_port, 3 * _THREADS) as calls:
        time.sleep(0.5)  # they occupy every thread
        for _ in range(5):
            answer = few_threads.client.prediction.Predict(request(1), timeout=_TIMEOUT_SECONDS * 3)
            assert list(answer.outputs["y"].float_val) == [7.0]
        assert {call.exception(timeout=20).code() for call in calls} == {grpc.StatusCode.CANCELLED}
    assert few_threads.vitals().threads <= before.threads + _THREADS
    assert list(few_threads.client.prediction.Predict(request(2), timeout=5).outputs["y"].float_val) == [7.0, 7.0]


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """A server that lets eight requests in, and waits ten minutes for their messages."""
    folder = tmp_path_factory.mktemp("half")
    write_half(Path(folder) / "1", 3.0)
    flags = [f"--model_base_path={folder}", "--model_name=half", f"--grpc_max_threads={_THREADS}"]
    flags += [f"--max_concurrent_requests={_MOST}", "--body_timeout_seconds=600"]
    with running.process(running.OURS, *flags) as (client, process):
        client.wait("half", 1, "AVAILABLE")
        yield Victim(client, process.pid)
        assert process.poll() is None


def answered(victim: Victim) -> None:
    """Asks over both transports until the server answers. It may refuse for as long as the others are young."""
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(grpc.RpcError):
            answer = victim.client.prediction.Predict(request(1), timeout=20)
            assert list(answer.outputs["y"].float_val) == [7.0]
            break
        assert time.monotonic() < deadline
    while victim.client.post("half:predict", {"instances": [8]}) != (200, {"predictions": [7.0]}):
        assert time.monotonic() < deadline


def test_wall_of_calls_keeps_nobody_out(patient: Victim) -> None:
    """Six times as many half messages as the server lets in. It would wait for them for ten minutes."""
    before = patient.vitals()
    with stalled(patient.client.grpc_port, 6 * _MOST):
        for _ in range(5):
            answered(patient)
        assert patient.vitals().threads <= before.threads + _THREADS
    answered(patient)


def test_wall_of_bodies_keeps_nobody_out(patient: Victim) -> None:
    before = patient.vitals()
    with contextlib.ExitStack() as stack:
        walls = [stack.enter_context(patient.connect()) for _ in range(_MOST)]
        for wall in walls:
            wall.sendall(head(100) + b"{")
        for _ in range(5):
            answered(patient)
        statuses = [status_so_far(wall) for wall in walls]
        assert set(statuses) <= {None, 408} and 408 in statuses, statuses
    answered(patient)
    deadline = time.monotonic() + 20
    while patient.vitals().descriptors > before.descriptors:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_large_message_is_answered(few_threads: Victim) -> None:
    """It is larger than what the proxy passes on."""
    answer = few_threads.client.prediction.Predict(request(100_000), timeout=20)
    assert set(answer.outputs["y"].float_val) == {7.0}


def test_call_without_a_message_is_refused(few_threads: Victim) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{few_threads.client.grpc_port}") as channel:
        for method in ("tensorflow.serving.PredictionService/Predict", "grpc.health.v1.Health/Check"):
            with pytest.raises(grpc.RpcError) as refused:
                channel.stream_unary(f"/{method}")(iter(()), timeout=10)
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
