"""Prometheus metrics under TensorFlow Serving's names."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.exposition import generate_latest

disable_created_metrics()  # type: ignore[no-untyped-call]  # TensorFlow Serving exports no `_created` series

PATH = "/monitoring/prometheus/metrics"
_MICROSECONDS = tuple(10 * 1.8**i for i in range(33))
_COUNTS = tuple(float(2**i) for i in range(15))


class _Counter:
    """A counter that is exported under its exact name. That of prometheus_client would append `_total`."""

    def __init__(self, registry: CollectorRegistry, name: str, text: str, labels: tuple[str, ...]) -> None:
        self.name, self._text, self._labels = name, text, labels
        self._values: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()
        registry.register(self)

    def add(self, *labels: str, by: float = 1) -> None:
        """Adds `by` to the counter of the label values."""
        with self._lock:
            self._values[labels] = self._values.get(labels, 0) + by

    def value(self) -> float:
        """Returns the sum over all labels."""
        with self._lock:
            return sum(self._values.values())

    def collect(self) -> Iterator[Metric]:
        """Yields the metric family, as prometheus_client requires of a collector."""
        family = CounterMetricFamily(self.name.removesuffix("_total"), self._text)
        with self._lock:
            for values, count in self._values.items():
                family.add_sample(self.name, dict(zip(self._labels, values, strict=True)), count)
        yield family


class ServerMetrics:
    """The metrics of a server. Latencies are in microseconds."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        prefix = ":tensorflow:serving:"
        self.requests = self._counter(f"{prefix}request_count", "Requests.", "model_name", "status")
        self.examples = self._counter(f"{prefix}request_example_count_total", "tf.Examples.", "model")
        self.warmup_records = self._counter(
            f"{prefix}model_warmup_records_read", "Warm-up requests replayed.", "model_path", "status"
        )
        self.loads = self._counter(
            ":tensorflow:cc:saved_model:load_attempt_count", "Loads attempted.", "model_path", "status"
        )
        self.load_latency = self._counter(
            ":tensorflow:cc:saved_model:load_latency", "Microseconds spent loading.", "model_path"
        )
        self.logged = self._counter(
            ":kindred:request_log_count", "Requests for the request log: written, dropped or failed.", "model_name",
            "status",
        )  # fmt: skip
        self.request_latency = self._histogram(
            f"{prefix}request_latency", "Wall time of a request.", _MICROSECONDS, "model_name", "API", "entrypoint"
        )
        self.runtime_latency = self._histogram(
            f"{prefix}runtime_latency", "Wall time in TensorFlow.", _MICROSECONDS, "model_name", "API", "runtime"
        )
        self.example_counts = self._histogram(
            f"{prefix}request_example_counts", "tf.Examples per request.", _COUNTS, "model"
        )
        self.warmup_latency = self._histogram(
            f"{prefix}model_warmup_latency", "Wall time of a warm-up.", _MICROSECONDS, "model_path", "status"
        )
        self.queuing_latency = self._histogram(
            f"{prefix}batching_session:queuing_latency", "Wait for a batch.", _MICROSECONDS
        )
        self.batch_size = self._histogram(
            f"{prefix}batching_session:processed_batch_size", "Rows of a batch, padding too.", _COUNTS
        )
        self.padding_size = self._histogram(f"{prefix}batching_session:padding_size", "Rows of padding.", _COUNTS)

    def _counter(self, name: str, text: str, *labels: str) -> _Counter:
        return _Counter(self._registry, name, text, labels)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, text, labels, registry=self._registry, buckets=buckets)

    def page(self) -> bytes:
        """Returns all metrics in the Prometheus text format."""
        page = generate_latest(self._registry)
        # prometheus_client appends `_total` to the name in the header of every counter.
        return re.sub(rb"(?m)^(# (?:HELP|TYPE) \S*(?<!example_count))_total ", rb"\1 ", page)

    def value(self, streamz_name: str) -> int:
        """Returns the sum of a counter by its TensorFlow name, such as /tensorflow/serving/request_count."""
        wanted = streamz_name.replace("/", ":")
        counters: list[Any] = [c for c in vars(self).values() if isinstance(c, _Counter) and c.name == wanted]
        return int(counters[0].value()) if counters else 0
