"""Request logs: what a server writes, how much, and what happens when it cannot write."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import model_management_pb2, predict_pb2, prediction_log_pb2

from serving.model_server import request_logs
from serving.model_server.faults import Fault
from serving.model_server.metrics import ServerMetrics
from serving.model_server.model_config import LoggingSettings, ServedModel, read_config_file
from serving.model_server.request_logs import LogLimits, RequestLogs, log_files
from tests.integration.model_server import running
from tests.unit.trainer.planted_model import LEFT, RIGHT, Planted

CONFIG = """model_config_list {{ config {{
  name: "words" base_path: "{base}" model_platform: "tensorflow"
  logging_config {{
    log_collector_config {{ type: "{type}" filename_prefix: "{prefix}" }}
    sampling_config {{ sampling_rate: {rate} }}
  }}
}} }}"""


def _config(folder: Path, base: Path, prefix: object = "", rate: float = 1.0, kind: str = "file") -> Path:
    path = folder / "models.config"
    path.write_text(CONFIG.format(base=base, prefix=prefix or folder / "logs" / "words", rate=rate, type=kind))
    return path


def _records(prefix: Path) -> list:
    files = [str(file) for file in sorted(log_files(prefix))]
    return [prediction_log_pb2.PredictionLog.FromString(record) for record in _raw(files)]


def _raw(files: list[str]) -> list[bytes]:
    return list(tf.data.TFRecordDataset(files).as_numpy_iterator()) if files else []


def test_requests_of_both_transports_are_logged(planted: Planted, tmp_path: Path) -> None:
    config = _config(tmp_path, planted.model.parent)
    with running.here(f"--model_config_file={config}") as client:
        rows = [{"left_id": LEFT[0].decode(), "right_id": RIGHT[0].decode()}, {"left_id": "?", "right_id": "lock"}]
        status, answer = client.post("words:predict", {"signature_name": "score", "instances": rows})
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = "words", "similar_right"
        request.inputs["left_id"].CopyFrom(tf.make_tensor_proto([LEFT[1]]))
        request.inputs["k"].CopyFrom(tf.make_tensor_proto(2))
        found = client.prediction.Predict(request)
        client.post("words:predict", {"signature_name": "score", "instances": [{"left_id": "x"}]})  # refused
        empty = model_management_pb2.ReloadConfigRequest()
        entry = empty.config.model_config_list.config.add(name="words", base_path=str(planted.model.parent))
        entry.model_platform = "tensorflow"
        client.models.HandleReloadConfigRequest(empty)
        client.post("words:predict", {"signature_name": "score", "instances": rows})  # no longer logged
    assert status == 200
    one, other = _records(tmp_path / "logs" / "words")
    assert list(one.predict_log.request.inputs["left_id"].string_val) == [LEFT[0], b"?"]
    scores = [row["score"] for row in answer["predictions"]]
    assert list(one.predict_log.response.outputs["score"].float_val) == pytest.approx(scores, abs=1e-6)
    assert list(one.predict_log.response.outputs["left_known"].bool_val) == [True, False]
    assert other.predict_log.request.inputs == request.inputs
    assert other.predict_log.response.outputs == found.outputs
    for log, signature in ((one, "score"), (other, "similar_right")):
        for spec in (log.log_metadata.model_spec, log.predict_log.response.model_spec):
            assert (spec.name, spec.version.value, spec.signature_name) == ("words", 1, signature)
        assert log.log_metadata.sampling_config.sampling_rate == 1
        assert abs(log.log_metadata.timestamp_secs - time.time()) < 120


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"rate": 1.5}, r"sampling_rate must be between 0 and 1 \(got 1.5\)"),
        ({"kind": "kafka"}, "log_collector_config.type 'kafka' is unknown"),
        ({"prefix": "logs/words"}, r"filename_prefix must be an absolute path.*\(got 'logs/words'\)"),
    ],
)
def test_wrong_logging_config_is_refused(tmp_path: Path, changed: dict, words: str) -> None:
    with pytest.raises(Fault, match=words):
        read_config_file(_config(tmp_path, tmp_path, **changed))


def test_rate_of_zero_logs_nothing(tmp_path: Path) -> None:
    assert read_config_file(_config(tmp_path, tmp_path, rate=0))[0].logging is None


def _logs(prefix: Path, rate: float = 1.0, **limits: int) -> tuple[RequestLogs, ServerMetrics]:
    metrics = ServerMetrics()
    logs = RequestLogs(metrics, LogLimits(**limits))
    logs.configure([ServedModel("m", "/m", logging=LoggingSettings(str(prefix), rate))])
    return logs, metrics


def _offer(logs: RequestLogs, number: int) -> None:
    ids = np.array([b"%d" % number], object)
    logs.offer("m", 3, "score", {"left_id": ids}, {"score": np.zeros(200, np.float32)})


def _count(metrics: ServerMetrics, status: str) -> int:
    samples = [sample for family in metrics.logged.collect() for sample in family.samples]
    return int(sum(sample.value for sample in samples if sample.labels["status"] == status))


def test_files_are_rotated_and_bounded(tmp_path: Path) -> None:
    prefix = tmp_path / "m"
    foreign = tmp_path / "m.pairs.tfrecord"
    foreign.touch()
    logs, metrics = _logs(prefix, max_file=10_000, max_total=40_000)
    for number in range(300):
        _offer(logs, number)
    logs.close()
    files = sorted(log_files(prefix))
    assert _count(metrics, "written") == 300
    assert len(files) == 4 and all(file.stat().st_size <= 10_000 for file in files)
    assert foreign.exists()
    kept = [int(log.predict_log.request.inputs["left_id"].string_val[0]) for log in _records(prefix)]
    assert kept == list(range(300 - len(kept), 300)), "the newest records are kept"


def test_sample_has_the_rate(tmp_path: Path) -> None:
    logs, metrics = _logs(tmp_path / "m", rate=0.25)
    for number in range(4000):
        _offer(logs, number)
    logs.close()
    assert 850 < _count(metrics, "written") < 1150  # 5 standard deviations


def test_slow_disk_delays_no_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = threading.Event()
    monkeypatch.setattr(request_logs._Writer, "_write", lambda *ignored: free.wait(30))
    logs, metrics = _logs(tmp_path / "m", max_queue=50_000)
    started = time.perf_counter()
    for number in range(1000):
        _offer(logs, number)
    assert time.perf_counter() - started < 5
    fit = 50_000 // (request_logs._REQUEST_BYTES + request_logs._STRING_BYTES + 800)
    assert _count(metrics, "dropped") in (1000 - fit, 1000 - fit - 1)
    free.set()
    logs.close()
    assert _count(metrics, "written") + _count(metrics, "dropped") == 1000


def test_broken_disk_loses_records_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    logs, metrics = _logs(tmp_path / "file" / "m")
    for number in range(20):
        _offer(logs, number)
    deadline = time.monotonic() + 20
    while _count(metrics, "failed") < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert _count(metrics, "failed") == 20 and _count(metrics, "written") == 0
    assert caplog.text.count("cannot write") == 1
    (tmp_path / "file").unlink()
    _offer(logs, 21)
    logs.close()
    assert _count(metrics, "written") == 1 and len(_records(tmp_path / "file" / "m")) == 1


def test_values_that_cannot_be_encoded_are_no_end(tmp_path: Path) -> None:
    logs, metrics = _logs(tmp_path / "m")
    logs.offer("m", 3, "score", {"x": np.array(["text"])}, {})
    _offer(logs, 1)
    logs.close()
    assert (_count(metrics, "failed"), _count(metrics, "written")) == (1, 1)
