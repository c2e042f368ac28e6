"""Internal errors: the client gets a response, the server keeps running, and the log has the traceback."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from serving.model_server.batching import Batcher, BatchingSettings
from serving.model_server.calls import Limits
from serving.model_server.faults import Code, Fault, fault_of, invalid
from serving.model_server.hosted_models import VersionState
from serving.model_server.inference import Inference
from serving.model_server.metrics import ServerMetrics
from serving.model_server.model_config import ServedModel
from serving.model_server.model_manager import ModelManager
from serving.model_server.polling import Poller, PollSettings
from serving.model_server.rest import RestApi
from serving.model_server.service import Service
from tests.integration.model_server import running
from tests.integration.model_server.saved_models import write_half

QUICK = ("--file_system_poll_wait_seconds=0.05", "--max_num_load_retries=0")


def _fail(*_: object, **__: object) -> Any:
    raise KeyError("a bug")


def _errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Returns warnings and errors in the server's log. Threads of earlier tests may log under other names."""
    return [one for one in caplog.records if one.name == "kindred.model_server" and one.levelno >= logging.WARNING]


def _tracebacks(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Returns the names of the functions that raised the logged errors."""
    names = []
    for record in _errors(caplog):
        trace = record.exc_info[2] if record.exc_info else None
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        if trace is not None:
            names.append(trace.tb_frame.f_code.co_name)
    return names


def test_only_unexpected_errors_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    expected = invalid("no")
    assert fault_of(expected) is expected
    refused = fault_of(tf.errors.OutOfRangeError(None, None, "too far"))
    assert (refused.code, refused.message) == (Code.OUT_OF_RANGE, "too far")
    assert _errors(caplog) == []
    with pytest.raises(KeyError) as unexpected:
        _fail()
    assert fault_of(unexpected.value).code is Code.INTERNAL
    assert _tracebacks(caplog) == ["_fail"]


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("half")
    write_half(folder / "1")
    return folder


def test_request_with_internal_error_is_answered(
    half: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with running.here(f"--model_base_path={half}", "--model_name=half", *QUICK) as client:
        with monkeypatch.context() as patched:
            patched.setattr(Inference, "predict", _fail)
            patched.setattr(Inference, "predict_protos", _fail)
            status, answer = client.post("half:predict", {"instances": [8]})
            assert status == 500 and "a bug" in answer["error"]
            request = predict_pb2.PredictRequest(model_spec={"name": "half"})
            request.inputs["x"].CopyFrom(tf.make_tensor_proto([8.0]))
            with pytest.raises(grpc.RpcError) as error:
                client.prediction.Predict(request)
            assert error.value.code().name == "INTERNAL"
        assert _tracebacks(caplog) == ["_fail", "_fail"]
        assert client.post("half:predict", {"instances": [8]}) == (200, {"predictions": [6.0]})


def test_failed_batch_releases_its_requests(caplog: pytest.LogCaptureFixture) -> None:
    import numpy as np

    batcher = Batcher(_fail, BatchingSettings(num_batch_threads=1), ServerMetrics())
    with pytest.raises(Fault, match="a bug"):
        batcher.run({"x": np.zeros(1, np.float32)}, ["y"])
    batcher.close()
    assert _tracebacks(caplog) == ["_fail"]


def test_missing_tags_are_not_internal_error(half: Path, caplog: pytest.LogCaptureFixture) -> None:
    flags = (f"--model_base_path={half}", "--model_name=half", "--saved_model_tags=serve,gpu")
    with running.here(*flags, *QUICK) as client:
        (entry,) = client.get("/half")[1]["model_version_status"]
    assert entry["state"] == "END" and entry["status"]["error_code"] == "NOT_FOUND"
    assert "could not be found in SavedModel" in entry["status"]["error_message"]
    assert _tracebacks(caplog) == []


@pytest.mark.parametrize("broken", ["load", "close"])
def test_background_error_affects_only_its_model(broken: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def load(name: str, number: int, path: str) -> SimpleNamespace:
        if broken == "load" and name == "bad":
            _fail()
        return SimpleNamespace(close=_fail if name == "bad" else lambda: None)

    for name in ("bad", "good"):
        (tmp_path / name / "1").mkdir(parents=True)
    models = [ServedModel(name, str(tmp_path / name)) for name in ("bad", "good")]
    manager = ModelManager(models, SimpleNamespace(load=load), PollSettings(0.02, max_retries=0))
    manager.start()
    assert manager.wait_until_settled(10)
    with manager.lease("good"):
        pass
    if broken == "load":
        (entry,) = manager.status("bad")
        assert (entry.state, entry.fault.code) == (VersionState.END, Code.INTERNAL)
    else:
        manager.reload(models[1:])
        _until(lambda: _tracebacks(caplog))
    manager.close()
    assert _tracebacks(caplog) == ["_fail"]


def test_polling_survives_internal_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "1").mkdir()
    loader = SimpleNamespace(load=lambda *_: SimpleNamespace(close=lambda: None))
    manager = ModelManager([ServedModel("half", str(tmp_path))], loader, PollSettings(0.02))
    with monkeypatch.context() as patched:
        patched.setattr(Poller, "_scan_versions", _fail)
        manager.start()
        _until(lambda: len(_tracebacks(caplog)) > 1)
    assert manager.wait_until_settled(10)
    manager.close()
    assert set(_tracebacks(caplog)) == {"_fail"}


def _until(holds: Callable[[], object]) -> None:
    async def wait() -> None:
        while not holds():
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(wait(), 10))


def test_disconnect_is_not_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    """Calls the ASGI application with half a body, then disconnects."""
    service = Service(
        SimpleNamespace(has=lambda name: True), SimpleNamespace(), ServerMetrics(), Limits(), SimpleNamespace()
    )
    application = RestApi(service, SimpleNamespace(), None, False)
    received = iter([{"type": "http.request", "body": b'{"inst', "more_body": True}, {"type": "http.disconnect"}])
    sent: list[dict] = []

    async def receive() -> dict:
        return next(received)

    async def send(message: dict) -> None:
        sent.append(message)

    path = "/v1/models/half:predict"
    scope = {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "headers": [], "query_string": b"",
    }  # fmt: skip
    asyncio.run(application(scope, receive, send))
    assert sent[0]["status"] == 499 and b"client disconnected" in sent[1]["body"]
    assert service.metrics.page().count(b"CANCELLED") == 1
    assert _errors(caplog) == []
