"""gRPC calls of one message that no thread waits for.

Versions: grpcio 1.70 to 1.85 have what this module uses. Tested with 1.85.

Reason: the server of grpcio gives a thread to each call before its message is here. So a call changes between threads
three times, and a client that sends slowly keeps a thread. This module receives messages on the thread that reads the
completion queue, and keeps everything else of the server: ports, TLS, other calls, and its end. A call that returns its
message then takes a third of the processor time. The core of gRPC, which speaks HTTP/2, is the same.

Upstream: `grpc/_server.py`. Its loop `_serve` is replaced for one server, and nothing is patched.

Fallback: if a name is missing, `start` returns False, and the server starts in its own way.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import Any, Protocol

import grpc

try:
    from grpc import _server
    from grpc._cython import cygrpc
except ImportError:
    _server = cygrpc = None

_NO_FLAGS = 0
_POLL_SECONDS = 1.0
_NOW = 0.0
_OF_SERVER = (
    "_REQUEST_CALL_TAG", "_ServerStage", "_begin_shutdown_once", "_process_event_and_continue", "_request_call",
    "_stop_serving",
)  # fmt: skip
_OF_CALL = ("peer", "start_server_batch", "cancel")
_OF_STATE = (
    "active_rpc_count", "completion_queue", "due", "lock", "maximum_concurrent_rpcs", "rpc_states", "server",
    "server_deallocated", "stage",
)  # fmt: skip
_OF_CORE = (
    "CompletionType", "ReceiveCloseOnServerOperation", "ReceiveMessageOperation", "SendInitialMetadataOperation",
    "SendMessageOperation", "SendStatusFromServerOperation", "StatusCode",
)  # fmt: skip


class Receiver(Protocol):
    """What a server does with calls of one message.

    The methods run on the thread that serves, so they must return soon and must not raise.
    """

    def makes_room(self, call: UnaryCall) -> bool:
        """Ends another call because the server is full. Returns False if there is none, so that this one is refused."""
        ...

    def begun(self, call: UnaryCall) -> None:
        """Handles a new call. Call its method `receive` now or later, or `refuse`."""
        ...

    def received(self, call: UnaryCall, message: bytes | None) -> None:
        """Handles the message, or None if the call has ended without one. Call `answer` or `refuse` now or later."""
        ...

    def ended(self, call: UnaryCall) -> None:
        """Handles the end of a call: its answer is sent, or its client has gone."""
        ...

    def idle(self) -> None:
        """Runs when no other event waits."""
        ...


class UnaryCall:
    """A call. Its methods are safe from any thread.

    Attributes:
      method: the path, such as `/package.Service/Method`.
    """

    __slots__ = ("_call", "_cancelled", "_ended", "_event", "_lock", "_receiver", "_statused", "_waits", "method")

    def __init__(self, event: Any, receiver: Receiver, ended: Callable[[], None]) -> None:
        self.method: bytes = event.call_details.method
        self._event, self._call, self._receiver, self._ended = event, event.call, receiver, ended
        self._lock = threading.Lock()
        self._waits = 0
        self._cancelled = self._statused = False
        self._begin((cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS),), self._closed)

    @property
    def metadata(self) -> Any:
        """The metadata of the call, pairs of names and values."""
        return self._event.invocation_metadata

    @property
    def peer(self) -> str:
        """The address of the client, without its port."""
        address: str = self._call.peer().decode("utf-8", "replace")
        return address.rpartition(":")[0] if address.startswith("ip") else address

    def is_active(self) -> bool:
        """Whether the client still waits for an answer."""
        return not (self._cancelled or self._statused)

    def cancel(self) -> None:
        """Ends the call with CANCELLED."""
        self._call.cancel()

    def receive(self) -> bool:
        """Makes the core receive the message, and pass it to `Receiver.received`. Returns False if the call is over."""
        return self._begin((cygrpc.ReceiveMessageOperation(_NO_FLAGS),), self._received)

    def answer(self, message: bytes) -> None:
        """Sends the response. Does nothing if the client has gone."""
        self._finish(cygrpc.StatusCode.ok, b"", (cygrpc.SendMessageOperation(message, _NO_FLAGS),))

    def refuse(self, code: grpc.StatusCode, details: str) -> None:
        """Ends the call with a status. Does nothing if the client has gone."""
        self._finish(code.value[0], details.encode("utf-8", "replace"), ())

    def _finish(self, code: int, details: bytes, message: tuple[Any, ...]) -> None:
        with self._lock:
            if not self.is_active():
                return
            self._statused = True
            status = cygrpc.SendStatusFromServerOperation(None, code, details, _NO_FLAGS)
            self._call.start_server_batch(
                (cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS), *message, status), self._sent
            )
            self._waits += 1

    def _begin(self, operations: tuple[Any, ...], tag: Callable[[Any], Any]) -> bool:
        with self._lock:
            if not self.is_active():
                return False
            self._call.start_server_batch(operations, tag)
            self._waits += 1
            return True

    # The tags of operations. grpcio calls them, and forgets the call once one of them returns it.

    def _closed(self, event: Any) -> tuple[Any, tuple[()]]:
        if event.batch_operations[0].cancelled():
            self._cancelled = True
        return self._completed()

    def _received(self, event: Any) -> tuple[Any, tuple[()]]:
        self._receiver.received(self, event.batch_operations[0].message())
        return self._completed()

    def _sent(self, event: Any) -> tuple[Any, tuple[()]]:
        return self._completed()

    def _completed(self) -> tuple[Any, tuple[()]]:
        with self._lock:
            self._waits -= 1
            if self._waits or self.is_active():
                return None, ()
        self._ended()
        self._receiver.ended(self)
        return self, ()


def is_supported(server: grpc.Server) -> bool:
    """Whether the installed grpcio has everything that this module uses."""
    state = getattr(server, "_state", None)
    call = getattr(cygrpc, "Call", None)
    needed = (_server, _OF_SERVER), (cygrpc, _OF_CORE), (call, _OF_CALL), (state, _OF_STATE)
    return all(hasattr(owner, name) for owner, names in needed for name in names)


def start(server: grpc.Server, methods: Collection[bytes], receiver: Receiver) -> bool:
    """Starts a server, and passes the calls of some methods to `receiver` instead of to the handlers of the server.

    Interceptors do not see these calls.

    Args:
      server: a server that has not started.
      methods: paths, such as `/package.Service/Method`.
      receiver: receives their calls.

    Returns:
      False if the installed grpcio does not have what this needs. The server is not started then.
    """
    if not is_supported(server):
        return False
    state: Any = server._state
    with state.lock:
        state.server.start()
        state.stage = _server._ServerStage.STARTED
        _server._request_call(state)
    threading.Thread(target=_serve, args=(state, methods, receiver), name="grpc-events", daemon=True).start()
    return True


def _serve(state: Any, methods: Collection[bytes], receiver: Receiver) -> None:
    while True:
        event = state.completion_queue.poll(_NOW)
        if _is_timeout(event):
            receiver.idle()
            event = state.completion_queue.poll(time.time() + _POLL_SECONDS)
        if state.server_deallocated:
            _server._begin_shutdown_once(state)
        if _is_timeout(event):
            continue
        if event.tag is _server._REQUEST_CALL_TAG and event.success and event.call_details.method in methods:
            _accept(state, event, receiver)
        elif not _server._process_event_and_continue(state, event):
            return
        event = None  # as in grpcio: an event can keep the memory of its call


def _is_timeout(event: Any) -> bool:
    return bool(event.completion_type == cygrpc.CompletionType.queue_timeout)


def _accept(state: Any, event: Any, receiver: Receiver) -> None:
    """Begins a call, as `_process_event_and_continue` does, and asks for the next one."""

    def ended() -> None:
        with state.lock:
            state.active_rpc_count -= 1

    with state.lock:
        state.due.remove(_server._REQUEST_CALL_TAG)
        most = state.maximum_concurrent_rpcs
        is_full = most is not None and state.active_rpc_count >= most
        call = UnaryCall(event, receiver, ended)
        state.rpc_states.add(call)
        state.active_rpc_count += 1
        if state.stage is _server._ServerStage.STARTED:
            _server._request_call(state)
    if not is_full or receiver.makes_room(call):
        receiver.begun(call)
    else:
        call.refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!")
