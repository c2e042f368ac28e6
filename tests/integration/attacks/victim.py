"""The server under attack: its vital signs, its memory limit, and correct answers between attacks."""

from __future__ import annotations

import contextlib
import dataclasses
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from tests.integration.model_server.running import Client

MIB = 1 << 20
ENTITIES = 200
# The server may allocate this much beyond what it has after its start.
MEMORY_LIMIT = 3 << 30
_THREADS_OF_POOLS = 8


@dataclasses.dataclass(frozen=True)
class Vitals:
    """Resident memory and its peak in bytes, open descriptors and threads of a process."""

    memory: int
    peak: int
    descriptors: int
    threads: int


class Victim:
    """A server process, and a client of it."""

    def __init__(self, client: Client, pid: int) -> None:
        self.client, self.pid = client, pid
        self._proc = Path("/proc") / str(pid)

    def limit_memory(self) -> None:
        """Limits the address space, so that an allocation without bound ends the server and not this machine."""
        limit = self._status()["VmSize"] + MEMORY_LIMIT
        resource.prlimit(self.pid, resource.RLIMIT_AS, (limit, limit))

    def vitals(self) -> Vitals:
        status = self._status()
        return Vitals(
            status["VmRSS"], status["VmHWM"], len(list((self._proc / "fd").iterdir())), status["Threads"] // 1024
        )

    def forget_peak(self) -> None:
        (self._proc / "clear_refs").write_text("5")

    def _status(self) -> dict[str, int]:
        """Returns the numbers of /proc/PID/status in bytes."""
        lines = (self._proc / "status").read_text().splitlines()
        pairs = (line.split()[:2] for line in lines if len(line.split()) > 1)
        return {name.rstrip(":"): int(value) * 1024 for name, value in pairs if value.isdecimal()}

    @contextlib.contextmanager
    def attacked(self, peak: int = 200 * MIB, kept: int = 100 * MIB) -> Iterator[None]:
        """Checks the server around an attack.

        Args:
          peak: how far the resident memory may rise during the attack, in bytes.
          kept: how much of that may stay. Allocators keep some memory for later.
        """
        self.check_answers()
        self.forget_peak()
        before = self.vitals()
        yield
        after = self._calm(before, kept)
        self.check_answers()
        assert after.peak - before.memory < peak, (before, after)
        assert after.memory - before.memory < kept, (before, after)
        assert after.descriptors <= before.descriptors, (before, after)
        assert after.threads <= before.threads + _THREADS_OF_POOLS, (before, after)

    def _calm(self, before: Vitals, kept: int) -> Vitals:
        """Waits until the server has released what the attack occupied, at most 5 s."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            now = self.vitals()
            if now.descriptors <= before.descriptors and now.memory - before.memory < kept:
                break
            time.sleep(0.05)
        return self.vitals()

    def check_answers(self) -> None:
        """Asks over both transports, and compares with answers computed by hand."""
        assert self.client.post("half:predict", {"instances": [8]}) == (200, {"predictions": [7.0]})
        request = predict_pb2.PredictRequest(model_spec={"name": "half"})
        request.inputs["x"].CopyFrom(tf.make_tensor_proto([8.0]))
        assert list(self.client.prediction.Predict(request, timeout=10).outputs["y"].float_val) == [7.0]
        status, answer = self.rank(["7"], 3)
        assert (status, answer) == (200, {"outputs": {"right_id": [["7", "6", "8"]], "score": [[0.0, -1.0, -1.0]]}})

    def rank(self, ids: list[str], k: int) -> tuple[int, dict]:
        body = {"signature_name": "similar_right", "inputs": {"left_id": ids, "k": k}}
        return self.client.post("ranking:predict", body)

    def connect(self) -> socket.socket:
        """Opens a raw connection to the REST port."""
        return socket.create_connection(("127.0.0.1", self.client.rest_port), timeout=20)
