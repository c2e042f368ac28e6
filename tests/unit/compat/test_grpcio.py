"""Calls that are received on the thread of events behave like those of grpcio."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from compat import grpcio
from compat.grpcio import UnaryCall

DIRECT, OTHER = "/test.Echo/Direct", "/test.Echo/Other"
_MOST = 4


class Echo:
    """Returns the message, unless the message says what else to do."""

    def __init__(self) -> None:
        self.held: list[UnaryCall] = []
        self.ends: list[UnaryCall] = []
        self.messages: list[bytes | None] = []
        self.idles = 0
        self.peers: list[str] = []

    def makes_room(self, call: UnaryCall) -> bool:
        self.peers.append(call.peer)
        ignored = [one for one in self.held if not self.messages]
        for one in ignored[:1]:
            one.refuse(grpc.StatusCode.ABORTED, "gave way")
        return bool(ignored)

    def begun(self, call: UnaryCall) -> None:
        metadata = dict(call.metadata)
        if "refuse" in metadata:
            call.refuse(grpc.StatusCode.UNAUTHENTICATED, metadata["refuse"])
        elif "ignore" in metadata:
            self.held.append(call)
        else:
            call.receive()

    def received(self, call: UnaryCall, message: bytes | None) -> None:
        self.messages.append(message)
        if message == b"hold":
            self.held.append(call)
        elif message == b"thread":
            threading.Thread(target=call.answer, args=(b"from a thread",)).start()
        elif message == b"fail":
            call.refuse(grpc.StatusCode.DATA_LOSS, "höchst \ud800")
        elif message is None:
            call.refuse(grpc.StatusCode.INVALID_ARGUMENT, "no message")
        else:
            call.answer(message)

    def ended(self, call: UnaryCall) -> None:
        self.ends.append(call)

    def idle(self) -> None:
        self.idles += 1


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def server(echo: Echo) -> Iterator[grpc.Server]:
    server = grpc.server(ThreadPoolExecutor(1), maximum_concurrent_rpcs=_MOST)
    handler = grpc.unary_unary_rpc_method_handler(lambda message, _: b"other " + message)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", {"Other": handler}),))
    server.port = server.add_insecure_port("127.0.0.1:0")
    assert grpcio.start(server, {DIRECT.encode()}, echo), "the installed grpcio has what the module uses"
    yield server
    server.stop(0).wait(10)


@pytest.fixture
def channel(server: grpc.Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield channel


def test_calls_are_answered(channel: grpc.Channel, echo: Echo) -> None:
    direct, other = channel.unary_unary(DIRECT), channel.unary_unary(OTHER)
    large = bytes(range(256)) * 4000
    assert [direct(message, timeout=10) for message in (b"", b"a", large)] == [b"", b"a", large]
    assert direct(b"thread", timeout=10) == b"from a thread"
    assert other(b"b", timeout=10) == b"other b", "grpcio keeps the other methods"
    assert direct(b"packed" * 100, compression=grpc.Compression.Gzip, timeout=10) == b"packed" * 100
    wait(lambda: len(echo.ends) == 5)
    assert echo.idles > 0


def test_many_calls_at_a_time(channel: grpc.Channel) -> None:
    with ThreadPoolExecutor(_MOST) as clients:
        messages = [b"%d" % number for number in range(500)]
        assert list(clients.map(lambda message: channel.unary_unary(DIRECT)(message, timeout=30), messages)) == messages


@pytest.mark.parametrize(
    ("message", "metadata", "code", "details"),
    [
        (b"fail", (), grpc.StatusCode.DATA_LOSS, "höchst ?"),
        (b"a", (("refuse", "no token"),), grpc.StatusCode.UNAUTHENTICATED, "no token"),
        (b"a", (("ignore", "1"),), grpc.StatusCode.DEADLINE_EXCEEDED, None),
        (b"hold", (), grpc.StatusCode.DEADLINE_EXCEEDED, None),
    ],
)
def test_refusals_and_deadlines(
    channel: grpc.Channel, server: grpc.Server, echo: Echo, message: bytes, metadata: tuple, code: object, details: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(DIRECT)(message, metadata=metadata, timeout=0.5)
    assert refused.value.code() == code
    assert details in (None, refused.value.details())
    wait(lambda: len(echo.ends) == 1)
    for call in echo.held:
        assert not call.is_active()
        call.answer(b"too late")
        assert not call.receive()
    wait(lambda: not server._state.rpc_states and not server._state.active_rpc_count)
    assert channel.unary_unary(DIRECT)(b"next", timeout=10) == b"next"


def test_client_that_leaves_is_noticed(channel: grpc.Channel, echo: Echo) -> None:
    future = channel.unary_unary(DIRECT).future(b"hold")
    wait(lambda: bool(echo.held))
    assert echo.held[0].is_active()
    future.cancel()
    wait(lambda: bool(echo.ends))
    assert not echo.held[0].is_active()


def test_server_can_cancel(channel: grpc.Channel, echo: Echo) -> None:
    future = channel.unary_unary(DIRECT).future(b"hold")
    wait(lambda: bool(echo.held))
    echo.held[0].cancel()
    assert future.exception(timeout=10).code() == grpc.StatusCode.CANCELLED


def test_call_without_a_message(channel: grpc.Channel, echo: Echo) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        channel.stream_unary(DIRECT)(iter(()), timeout=10)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert echo.messages == [None]


def test_more_calls_than_permitted_are_refused(channel: grpc.Channel, echo: Echo) -> None:
    held = [channel.unary_unary(DIRECT).future(b"hold") for _ in range(_MOST)]
    wait(lambda: len(echo.held) == _MOST)
    with pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(DIRECT)(b"a", timeout=10)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    for call in echo.held:
        call.answer(b"now")
    assert [future.result(timeout=10) for future in held] == [b"now"] * _MOST


def test_waiting_call_can_give_way(channel: grpc.Channel, server: grpc.Server, echo: Echo) -> None:
    """The server is full of calls whose message is not received."""
    held = [channel.unary_unary(DIRECT).future(b"a", metadata=(("ignore", "1"),)) for _ in range(_MOST)]
    wait(lambda: len(echo.held) == _MOST)
    assert channel.unary_unary(DIRECT)(b"new", timeout=10) == b"new"
    assert echo.peers == ["ipv4:127.0.0.1"]
    wait(lambda: any(future.done() for future in held))
    (gone,) = [future for future in held if future.done()]
    assert gone.exception(timeout=10).code() == grpc.StatusCode.ABORTED
    for call in echo.held:
        call.receive()
    assert [future.result(timeout=10) for future in held if future is not gone] == [b"a"] * (_MOST - 1)
    wait(lambda: not server._state.rpc_states and not server._state.active_rpc_count)


def test_server_stops_when_its_calls_have_ended(channel: grpc.Channel, server: grpc.Server, echo: Echo) -> None:
    running = channel.unary_unary(DIRECT).future(b"hold")
    wait(lambda: bool(echo.held))
    stopped = server.stop(10)
    time.sleep(0.1)
    assert not stopped.is_set()
    echo.held[0].answer(b"at last")
    assert running.result(timeout=10) == b"at last"
    assert stopped.wait(10)
    with pytest.raises(grpc.RpcError):
        channel.unary_unary(DIRECT)(b"a", timeout=1)


def test_stop_cancels_what_does_not_end(channel: grpc.Channel, server: grpc.Server, echo: Echo) -> None:
    running = channel.unary_unary(DIRECT).future(b"hold")
    wait(lambda: bool(echo.held))
    assert server.stop(0.2).wait(10)
    assert running.exception(timeout=10).code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)


def test_other_version_is_left_alone(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(grpcio.cygrpc, "ReceiveMessageOperation")
    server = grpc.server(ThreadPoolExecutor(1))
    assert not grpcio.start(server, {DIRECT.encode()}, echo)
    server.start()  # which would fail if the server had been started
    server.stop(0).wait(10)
