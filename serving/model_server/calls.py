"""The requests in progress: how many there are, the memory that they hold, and who still waits for an answer."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator

from serving.model_server.faults import Code, Fault, invalid
from serving.model_server.giving_way import Waiting, to_give_way


@dataclasses.dataclass(frozen=True)
class Limits:
    """The limits beyond which a request is refused, so that it cannot exhaust the server. Sizes are in bytes."""

    max_body_bytes: int = 64 << 20
    max_batch_rows: int = 100_000
    max_input_bytes: int = 256 << 20
    max_output_bytes: int = 256 << 20
    max_bytes_in_flight: int = 1 << 30
    max_concurrency: int = 256
    timeout_seconds: float = 30.0
    body_timeout_seconds: float = 30.0
    slow_body_bytes_per_second: float = 10_000.0


class Calls:
    """Counts the requests in progress and the bytes that they hold, over both transports.

    At a limit, a request whose body does not arrive gives way (`serving.model_server.giving_way`).
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._running = self._bytes = 0
        self._arriving: dict[Call, Callable[[], object]] = {}

    @property
    def running(self) -> int:
        """The number of requests in progress."""
        return self._running

    def begin(self, peer: str = "") -> Call:
        """Starts a request of a client with this address. The caller must close the call.

        Raises:
          Fault: RESOURCE_EXHAUSTED, because `max_concurrency` requests are in progress.
        """
        while True:
            with self._lock:
                if self._running < self.limits.max_concurrency:
                    self._running += 1
                    return Call(self.limits, self, peer)
            if not self._make_room(peer):
                raise Fault(
                    Code.RESOURCE_EXHAUSTED,
                    f"the limit of {self.limits.max_concurrency} concurrent requests (--max_concurrent_requests) is "
                    "reached. Try again later",
                )

    @contextlib.contextmanager
    def arriving(self, call: Call, end: Callable[[], object]) -> Iterator[None]:
        """Lets a call give way while its body arrives, inside the block.

        Args:
          call: a call. After the block, `gave_way` is final.
          end: ends the wait for the body. Called from any thread.
        """
        call.progress(0)
        with self._lock:
            self._arriving[call] = end
        try:
            yield
        finally:
            with self._lock:
                self._arriving.pop(call, None)

    def take(self, call: Call, size: int) -> None:
        """Counts bytes that a call holds."""
        while True:
            with self._lock:
                if call.gave_way:
                    raise Fault(Code.RESOURCE_EXHAUSTED, "the request gave way to others")
                if self._bytes + size <= self.limits.max_bytes_in_flight:
                    self._bytes += size
                    call.held += size
                    return
                held = self._bytes
            if not self._make_room(call.peer, call):
                raise Fault(
                    Code.RESOURCE_EXHAUSTED,
                    f"the requests in progress hold {held:,} bytes and this one needs {size:,} more. The limit "
                    f"is {self.limits.max_bytes_in_flight:,} (--max_bytes_in_flight). Try again later",
                )

    def end(self, call: Call) -> None:
        """Ends a call, once."""
        with self._lock:
            self._end(call)

    def _end(self, call: Call) -> None:
        if not call.closed:
            call.closed = True
            self._running -= 1
            self._bytes -= call.held

    def _make_room(self, peer: str, keep: Call | None = None) -> bool:
        """Ends a request whose body does not arrive. Returns False if there is none but `keep`."""
        with self._lock:
            now = time.monotonic()
            waiting = [Waiting(call, call.peer, now - call.progressed) for call in self._arriving if call is not keep]
            call = to_give_way(waiting, peer)
            if call is None:
                return False
            end = self._arriving.pop(call)
            call.gave_way = True
            self._end(call)
        end()
        return True


class Call:
    """One request in progress.

    Attributes:
      limits: the limits of the server.
      of_client: whether a client waits for the answer. Warm-up has none.
      peer: the address of the client.
      held: the bytes that it holds.
      closed: whether it has ended.
      gave_way: whether it has ended so that others can begin.
      progressed: the time of `time.monotonic` until which its body arrived at the least rate.
    """

    of_client = True

    def __init__(self, limits: Limits, calls: Calls | None, peer: str = "") -> None:
        self.limits, self.peer = limits, peer
        self._calls = calls
        self.held = 0
        self.closed = self.gave_way = False
        self.progressed, self._arrived = 0.0, 0
        self._is_active: Callable[[], bool] = lambda: True
        self._cancelled = False

    def hold(self, size: int) -> None:
        """Counts `size` bytes until the call ends. Call it before the memory is allocated.

        Raises:
          Fault: RESOURCE_EXHAUSTED, because the requests in progress already hold too much.
        """
        if self._calls is None:
            return
        try:
            self._calls.take(self, size)
        except Fault:
            self.close()  # at once, so that requests that grow at the same time are not all refused
            raise

    def progress(self, size: int) -> None:
        """Notes that `size` bytes of the body have arrived, and 0 when the wait for it begins."""
        self._arrived += size
        now = time.monotonic()
        if not size or self._arrived >= self.limits.slow_body_bytes_per_second * (now - self.progressed):
            self.progressed, self._arrived = now, 0

    def watch(self, is_active: Callable[[], bool]) -> None:
        """Makes `check` also ask the transport whether the client is still there."""
        self._is_active = is_active

    def cancel(self) -> None:
        """Makes the next `check` raise, because nobody waits for the answer. Safe from any thread."""
        self._cancelled = True

    def check(self) -> None:
        """Stops work that nobody waits for. Long work calls it between its steps.

        Raises:
          Fault: CANCELLED, because the client disconnected or its time is over.
        """
        if self._cancelled or not self._is_active():
            raise Fault(Code.CANCELLED, "nobody waits for the answer any more")

    def close(self) -> None:
        """Ends the call and releases its bytes. Idempotent."""
        if self._calls is not None and not self.closed:
            self._calls.end(self)


def unlimited(limits: Limits | None = None) -> Call:
    """Returns a call that nothing counts, for the server's own requests, such as warm-up."""
    call = Call(limits or Limits(), None)
    call.of_client = False
    return call


@contextlib.contextmanager
def closing(call: Call) -> Iterator[Call]:
    """Yields `call`, and closes it at the end of the block."""
    try:
        yield call
    finally:
        call.close()


def check_rows(rows: int, limits: Limits) -> None:
    """Refuses a request with more rows than `max_batch_rows`."""
    if rows > limits.max_batch_rows:
        raise invalid(
            f"the request has {rows} rows, more than --max_batch_rows={limits.max_batch_rows}. Send smaller requests"
        )


def hold_input(call: Call, size: int) -> None:
    """Counts the tensors of a request. Refuses them if they need more than `max_input_bytes`."""
    limit = call.limits.max_input_bytes
    if size > limit:
        raise invalid(
            f"the inputs need {size:,} bytes, more than --max_input_bytes={limit}. Send fewer values in one request"
        )
    call.hold(size)
