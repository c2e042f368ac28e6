"""The requests in progress: how many there are, the memory that they hold, and who still waits for an answer."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator

from serving.model_server.faults import Code, Fault, invalid


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


class Calls:
    """Counts the requests in progress and the bytes that they hold, over both transports."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._running = self._bytes = 0

    @property
    def running(self) -> int:
        """The number of requests in progress."""
        return self._running

    def begin(self) -> Call:
        """Starts a request. The caller must close the call.

        Raises:
          Fault: RESOURCE_EXHAUSTED, because `max_concurrency` requests are in progress.
        """
        with self._lock:
            if self._running >= self.limits.max_concurrency:
                raise Fault(
                    Code.RESOURCE_EXHAUSTED,
                    f"the limit of {self._running} concurrent requests (--max_concurrent_requests) is reached. "
                    "Try again later",
                )
            self._running += 1
        return Call(self.limits, self._take, self._end)

    def _take(self, size: int) -> None:
        with self._lock:
            if self._bytes + size > self.limits.max_bytes_in_flight:
                raise Fault(
                    Code.RESOURCE_EXHAUSTED,
                    f"the requests in progress hold {self._bytes:,} bytes and this one needs {size:,} more. The limit "
                    f"is {self.limits.max_bytes_in_flight:,} (--max_bytes_in_flight). Try again later",
                )
            self._bytes += size

    def _end(self, size: int) -> None:
        with self._lock:
            self._running -= 1
            self._bytes -= size


class Call:
    """One request in progress.

    Attributes:
      limits: the limits of the server.
      of_client: whether a client waits for the answer. Warm-up has none.
    """

    of_client = True

    def __init__(self, limits: Limits, take: Callable[[int], None], end: Callable[[int], None]) -> None:
        self.limits = limits
        self._take, self._end = take, end
        self._held = 0
        self._closed = False
        self._is_active: Callable[[], bool] = lambda: True
        self._cancelled = False

    def hold(self, size: int) -> None:
        """Counts `size` bytes until the call ends. Call it before the memory is allocated.

        Raises:
          Fault: RESOURCE_EXHAUSTED, because the requests in progress already hold too much.
        """
        try:
            self._take(size)
        except Fault:
            self.close()  # at once, so that requests that grow at the same time are not all refused
            raise
        self._held += size

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
        if not self._closed:
            self._closed = True
            self._end(self._held)


def unlimited(limits: Limits | None = None) -> Call:
    """Returns a call that nothing counts, for the server's own requests, such as warm-up."""
    call = Call(limits or Limits(), lambda size: None, lambda size: None)
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
