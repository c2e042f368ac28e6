"""Request logs in an object store: nothing is lost while the store is away."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from errors import InputError
from pipeline.commands.monitor.traffic import read_log
from serving.model_server import request_logs
from serving.model_server.log_objects import LogObjects, is_prefix
from serving.model_server.metrics import ServerMetrics
from serving.model_server.model_config import LoggingSettings, ServedModel
from serving.model_server.request_logs import LogLimits, RequestLogs, log_files
from storage.cache import CACHE
from tests.object_store import Bucket, FaultyProxy

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def prefix(bucket: Bucket, proxy: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(CACHE, str(tmp_path))
    return f"{bucket.url}/logs/films"


def _serve(prefix: str, numbers: range, **limits: int) -> None:
    """A server that answers requests with these numbers, and stops."""
    logs = RequestLogs(ServerMetrics(), LogLimits(**limits))
    logs.configure([ServedModel("m", "/m", logging=LoggingSettings(prefix, 1.0))])
    for number in numbers:
        logs.offer("m", 3, "score", {"left_id": np.array([b"%d" % number], object)}, {"score": np.zeros(9, np.float32)})
    logs.close(60)


def _numbers(prefix: str) -> list[int]:
    (traffic,) = read_log(prefix).traffic
    return sorted(int(name) for name in traffic.ids["left"].elements())


def test_log_is_uploaded_whole(prefix: str, bucket: Bucket) -> None:
    _serve(prefix, range(50), max_file=3_000)
    keys = bucket.keys("logs/films")
    assert len(keys) > 1 and all(key.endswith(".tfrecord") for key in keys)
    assert _numbers(prefix) == list(range(50))
    assert not list(LogObjects(prefix).waiting.parent.iterdir()), "nothing waits here"


def test_log_waits_for_a_store_that_is_away(
    prefix: str, bucket: Bucket, proxy: FaultyProxy, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.refuse = lambda request: True
    _serve(prefix, range(5))
    assert f"request log {prefix}: cannot write" in caplog.text
    assert len(log_files(LogObjects(prefix).waiting)) == 1
    proxy.refuse = lambda request: False
    time.sleep(1.1)  # servers with the same process number, unlike real ones, need different times
    _serve(prefix, range(5, 9))
    assert _numbers(prefix) == list(range(9))


def test_idle_server_uploads_old_files(prefix: str, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_logs, "SECONDS", 0.0)
    logs = RequestLogs(ServerMetrics(), LogLimits())
    logs.configure([ServedModel("m", "/m", logging=LoggingSettings(prefix, 1.0))])
    logs.offer("m", 3, "score", {"left_id": np.array([b"7"], object)}, {"score": np.zeros(1, np.float32)})
    deadline = time.monotonic() + 60
    while not bucket.keys("logs/films") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _numbers(prefix) == [7]
    logs.close()


def test_missing_log_is_named(prefix: str, bucket: Bucket) -> None:
    bucket.put("logs/other", tf.constant(b"").numpy())
    with pytest.raises(InputError, match="no object begins with this URL"):
        read_log(prefix)


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/", "s3://bucket/logs/", "hdfs://x/logs", "logs/films"])
def test_other_prefixes_are_refused(url: str) -> None:
    assert not is_prefix(url)
    assert is_prefix("s3://bucket/logs/films")
