"""A service of one model that remembers its calls of TensorFlow."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from serving.model_server.calls import Calls, Limits
from serving.model_server.faults import Code, Fault, fault_of
from serving.model_server.inference import Inference
from serving.model_server.metrics import ServerMetrics
from serving.model_server.servable import Servable


class Counting(Inference):
    """Remembers the rows of each call. Fails for several rows if told to."""

    def __init__(self) -> None:
        super().__init__(ServerMetrics())
        self.rows: list[int] = []
        self.fails_together = False

    def compute(self, call: Any, servable: Any, signature: Any, inputs: Any, fetches: Any) -> Any:
        self.rows.append(max(array.shape[0] for array in inputs.values() if array.ndim))
        if self.fails_together and self.rows[-1] > 1:
            raise Fault(Code.INTERNAL, "too many")
        return super().compute(call, servable, signature, inputs, fetches)


class OneModel:
    """One model. Its lease waits until `open` is set."""

    limits = Limits()

    def __init__(self, servable: Servable) -> None:
        self.inference = Counting()
        self.calls = Calls(self.limits)
        self.entered, self.open = threading.Event(), threading.Event()
        self._servable = servable
        self.logged: list[tuple[str, dict, dict]] = []
        self.counted: list[str] = []

    def log(self, servable: Servable, signature: str, inputs: dict, outputs: dict) -> None:
        self.logged.append((signature, inputs, outputs))

    def succeeded(self, model: str, api: str, entrypoint: str, started: float) -> None:
        self.counted.append(f"{model} {api} {entrypoint}")

    def failed(self, model: str, error: Exception) -> Fault:
        fault = fault_of(error)
        self.counted.append(f"{model} {fault.code.name}")
        return fault

    @contextlib.contextmanager
    def lease(self, spec: Any) -> Iterator[Servable]:
        self.entered.set()
        self.open.wait(10)
        yield self._servable
