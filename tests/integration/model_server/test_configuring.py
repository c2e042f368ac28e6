"""Flags and configuration files: models, labels, batching, warm-up, limits, draining."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import model_management_pb2, predict_pb2, prediction_log_pb2

from serving.model_server import flag_values
from serving.model_server.flags import parse
from serving.model_server.servable import Servable
from tests.integration.model_server import running
from tests.integration.model_server.running import Client
from tests.integration.model_server.saved_models import write_half

QUICK = ("--file_system_poll_wait_seconds=0.05", "--load_retry_interval_micros=50000", "--max_num_load_retries=1")


def reload(client: Client, *models: tuple[str, Path], labels: dict[str, int] | None = None, **fields: str):
    request = model_management_pb2.ReloadConfigRequest(metric_names=["/tensorflow/serving/request_count"])
    for name, path in models:
        entry = request.config.model_config_list.config.add(
            name=name, base_path=str(path), model_platform="tensorflow", **fields
        )
        entry.version_labels.update(labels or {})
    return client.models.HandleReloadConfigRequest(request)


def refused(call: Callable, *arguments: object, **named: object) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as error:
        call(*arguments, **named)
    return error.value.code().name, error.value.details()


def ask(client: Client, path: str = "half") -> tuple[int, object]:
    status, answer = client.post(f"{path}:predict", {"instances": [8]})
    return status, answer.get("predictions", answer.get("error"))


def test_reloading_adds_and_removes_models(model_folder: Path) -> None:
    half, types = model_folder / "half", model_folder / "types"
    with running.here(f"--model_base_path={half}", "--model_name=half", *QUICK) as client:
        answer = reload(client, ("half", half), ("other", half), ("types", types))
        assert answer.status.error_code == 0
        assert [(metric.name, metric.int64_value_increase) for metric in answer.metric] == [
            ("/tensorflow/serving/request_count", 0)
        ]
        assert ask(client, "other") == ask(client, "half") == (200, [7.0])
        reload(client, ("types", types))
        client.wait("half", 2, "END")
        assert ask(client, "half")[0] == 404
        reload(client, ("half", half))
        assert ask(client, "half") == (200, [7.0])


def test_bad_reload_keeps_old_models(model_folder: Path, tmp_path: Path) -> None:
    half = model_folder / "half"
    (tmp_path / "broken" / "1").mkdir(parents=True)
    with running.here(f"--model_base_path={half}", "--model_name=half", *QUICK) as client:
        code, message = refused(reload, client, ("half", half), ("broken", tmp_path / "broken"))
        assert code == "UNKNOWN" and "broken" in message and "SavedModel" in message
        code, message = refused(reload, client, ("half", half), ("empty", tmp_path / "none"))
        assert code == "UNKNOWN" and str(tmp_path / "none") in message
        assert ask(client) == (200, [7.0])
        for models, fields, word in (
            ([("half", Path("relative"))], {}, "absolute"),
            ([("half", half)] * 2, {}, "multiple times"),
            ([("", half)], {}, "name"),
        ):
            code, message = refused(reload, client, *models, **fields)
            assert code == "INVALID_ARGUMENT" and word in message
        assert refused(client.models.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest())[0] == (
            "INVALID_ARGUMENT"
        )


@pytest.mark.parametrize("allow", [False, True])
def test_labels_need_available_versions(model_folder: Path, allow: bool) -> None:
    half = model_folder / "half"
    flags = [f"--model_base_path={half}", "--model_name=half", *QUICK]
    flags.append(f"--allow_version_labels_for_unavailable_models={str(allow).lower()}")
    with running.here(*flags) as client:
        reload(client, ("half", half), labels={"live": 2})
        assert ask(client, "half/labels/live") == (200, [7.0])
        if allow:
            reload(client, ("half", half), labels={"live": 2, "next": 9})
            assert ask(client, "half/labels/next")[0] == 404
        else:
            code, message = refused(reload, client, ("half", half), labels={"live": 2, "next": 9})
            assert code == "FAILED_PRECONDITION" and "next" in message and "9" in message
        # An existing label never moves to an unavailable version.
        assert refused(reload, client, ("half", half), labels={"live": 9})[0] == "FAILED_PRECONDITION"
        assert ask(client, "half/labels/live") == (200, [7.0])


def test_config_file_is_polled(model_folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "models.config"

    def write(*names: str) -> None:
        entries = (f'config {{ name: "{name}" base_path: "{model_folder / "half"}" }}' for name in names)
        config.write_text(f"model_config_list {{ {' '.join(entries)} }}")

    write("a")
    with running.here(f"--model_config_file={config}", "--model_config_file_poll_wait_seconds=1", *QUICK) as client:
        assert ask(client, "a")[0] == 200
        config.write_text("model_config_list {")
        time.sleep(1.2)
        assert ask(client, "a")[0] == 200
        write("b")
        client.wait("b", 2, "AVAILABLE")
        client.wait("a", 2, "END")


def _batching(folder: Path, text: str) -> list[str]:
    file = folder / "batching.config"
    file.write_text(text)
    return ["--enable_batching=true", f"--batching_parameters_file={file}"]


def test_requests_are_merged_into_batches(model_folder: Path, tmp_path: Path) -> None:
    monitoring = tmp_path / "monitoring.config"
    monitoring.write_text('prometheus_config { enable: true path: "/metrics" }')
    flags = _batching(
        tmp_path,
        "max_batch_size { value: 8 } batch_timeout_micros { value: 200000 } num_batch_threads { value: 1 } "
        "allowed_batch_sizes: 4 allowed_batch_sizes: 8",
    )
    flags += [f"--model_base_path={model_folder / 'half'}", "--model_name=half"]
    flags.append(f"--monitoring_config_file={monitoring}")
    with running.here(*flags) as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: client.post("half:predict", {"instances": [i, -i]})[1], range(8)))
        assert answers == [{"predictions": [i / 2 + 3, -i / 2 + 3]} for i in range(8)]
        lone = client.post("half:predict", {"instances": [1, 2, 3]})
        assert lone == (200, {"predictions": [3.5, 4.0, 4.5]})
        assert client.post("half:predict", {"instances": list(range(20))})[1]["predictions"][-1] == 12.5
        page = client.ask("GET", "/metrics")[1].decode()
        assert client.ask("GET", "/monitoring/prometheus/metrics")[0] == 404
    counts = {line.split()[0]: float(line.split()[1]) for line in page.splitlines() if not line.startswith("#")}
    session = ":tensorflow:serving:batching_session:"
    assert counts[f"{session}processed_batch_size_count"] < 9, "fewer batches than requests"
    assert counts[f"{session}queuing_latency_count"] == 9
    assert counts[f"{session}padding_size_sum"] >= 1, "three rows are padded to four"


def test_failed_batch_fails_only_its_requests(model_folder: Path, tmp_path: Path) -> None:
    flags = _batching(tmp_path, "batch_timeout_micros { value: 0 } enable_large_batch_splitting { value: false } "
                      "max_batch_size { value: 4 }")  # fmt: skip
    with running.here(f"--model_base_path={model_folder / 'types'}", "--model_name=types", *flags) as client:
        body = {"signature_name": "matrix", "inputs": [[1, 2, 3]]}
        assert client.post("types:predict", body)[0] == 400
        body = {"signature_name": "two", "inputs": {"a": [1.0, 2.0], "b": [[1.0, 1.0]]}}
        status, answer = client.post("types:predict", body)
        assert status == 400 and "0th-dimension" in answer["error"]
        status, answer = client.post("types:predict", {"signature_name": "echo_int32", "inputs": [1] * 5})
        assert status == 400 and "larger than maximum" in answer["error"]
        assert client.post("types:predict", {"signature_name": "scalar", "inputs": 2.0}) == (200, {"outputs": 4.0})


def _warmup(version: Path, *logs: object) -> None:
    folder = version / "assets.extra"
    folder.mkdir()
    with tf.io.TFRecordWriter(str(folder / "tf_serving_warmup_requests")) as out:
        for log in logs:
            out.write(log if isinstance(log, bytes) else log.SerializeToString())


def _predict_log(signature: str = "") -> prediction_log_pb2.PredictionLog:
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = signature
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
    return log


def test_warmup_precedes_serving(tmp_path: Path) -> None:
    base = tmp_path / "half"
    _warmup(write_half(base / "1"), _predict_log(), _predict_log())
    _warmup(write_half(base / "2"), _predict_log("none"))
    _warmup(write_half(base / "3"), b"\xff\xff no log")
    monitoring = tmp_path / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    config = tmp_path / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "half" base_path: "{base}" model_version_policy {{ all {{}} }} }} }}'
    )
    with running.here(f"--model_config_file={config}", f"--monitoring_config_file={monitoring}", *QUICK) as client:
        assert "none" in client.wait("half", 2, "END")
        assert "warm" in client.wait("half", 3, "END")
        assert client.states("half")[1] == ("AVAILABLE", "")
        page = client.ask("GET", "/monitoring/prometheus/metrics")[1].decode()
        assert f':tensorflow:serving:model_warmup_records_read{{model_path="{base}/1",status="OK"}} 2.0' in page
    with running.here(f"--model_config_file={config}", "--enable_model_warmup=false", *QUICK) as client:
        client.wait("half", 3, "AVAILABLE")


def test_requests_of_any_transport_find_what_warmup_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[object] = []
    make = Servable._make_callable
    monkeypatch.setattr(Servable, "_make_callable", lambda *args: prepared.append(args) or make(*args))
    _warmup(write_half(tmp_path / "half" / "1"), _predict_log())
    with running.here(f"--model_base_path={tmp_path / 'half'}", "--model_name=half", *QUICK) as client:
        client.wait("half", 1, "AVAILABLE")
        assert len(prepared) == 1
        assert ask(client)[0] == 200
        request = predict_pb2.PredictRequest()
        request.CopyFrom(_predict_log().predict_log.request)
        request.model_spec.name = "half"
        client.prediction.Predict(request)
        assert len(prepared) == 1


def test_requests_over_limits_are_refused(model_folder: Path) -> None:
    flags = [f"--model_base_path={model_folder / 'half'}", "--model_name=half", "--max_body_bytes=1000"]
    with running.here(*flags, "--max_batch_rows=50") as client:
        assert client.post("half:predict", {"instances": [1] * 50})[0] == 200
        status, answer = client.post("half:predict", {"instances": [1] * 51})
        assert (status, "max_batch_rows" in answer["error"]) == (400, True)
        status, answer = client.post("half:predict", b'{"instances": [' + b" " * 1000 + b"1]}")
        assert (status, "max_body_bytes" in answer["error"]) == (413, True)
        assert _chunked(client, 3000) == 413
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "half"
        request.inputs["x"].CopyFrom(tf.make_tensor_proto([0.0] * 60))
        assert refused(client.prediction.Predict, request)[0] == "INVALID_ARGUMENT"
        request.inputs["x"].CopyFrom(tf.make_tensor_proto([float(i) for i in range(600)]))
        assert refused(client.prediction.Predict, request)[0] == "RESOURCE_EXHAUSTED"
        assert ask(client) == (200, [7.0])


def _chunked(client: Client, size: int) -> int:
    """Sends a body without Content-Length. Returns the status."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", client.rest_port, timeout=10)
    pieces = (b" " * 100 for _ in range(size // 100))
    connection.request("POST", "/v1/models/half:predict", pieces, encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})  # fmt: skip
    status = connection.getresponse().status
    connection.close()
    return status


def _slow(base: Path, seconds: float) -> Path:
    """Writes a version whose calls take `seconds`, by the clock, on machines of any speed."""
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def predict(x):
        end = tf.timestamp() + seconds
        (now,) = tf.while_loop(lambda now: now < end, lambda _: (tf.timestamp(),), (tf.timestamp(),))
        return {"y": x * tf.cast(now >= end, tf.float32)}

    tf.saved_model.save(module, str(base / "1"), signatures={"serving_default": predict})
    return base


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _slow(tmp_path_factory.mktemp("slow"), 1.5)


def test_concurrency_over_limit_is_refused(slow: Path) -> None:
    flags = [f"--model_base_path={slow}", "--model_name=slow", "--max_concurrent_requests=2"]
    with running.here(*flags) as client, ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(lambda _: client.post("slow:predict", {"instances": [1]})[0], range(6)))
        assert set(statuses) == {200, 429}
        assert statuses.count(200) >= 2
        assert client.get("/slow")[0] == 200


def test_slow_request_times_out(slow: Path) -> None:
    flags = [f"--model_base_path={slow}", "--model_name=slow", "--rest_api_timeout_in_ms=100"]
    with running.here(*flags) as client:
        status, answer = client.post("slow:predict", {"instances": [1]})
        assert (status, "rest_api_timeout_in_ms" in answer["error"]) == (504, True)


@pytest.mark.parametrize("cors", [True, False])
def test_cors_headers(model_folder: Path, cors: bool) -> None:
    flags = [f"--model_base_path={model_folder / 'half'}", "--model_name=half"]
    with running.here(*flags, *(["--rest_api_enable_cors_support"] if cors else [])) as client:
        _, _, headers = client.ask("GET", "/v1/models/half")
        assert (headers.get("access-control-allow-origin") == "*") is cors
        assert client.ask("OPTIONS", "/v1/models/half:predict", headers={"Origin": "https://x.org"})[0] == 200
        assert client.ask("OPTIONS", "/v1/models/half:predict")[0] == 400


def test_sigterm_drains_requests(tmp_path: Path) -> None:
    very_slow = _slow(tmp_path, 4)
    with running.process(running.OURS, f"--model_base_path={very_slow}", "--model_name=slow") as (client, server):
        client.wait("slow", 1, "AVAILABLE")
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "slow"
        request.inputs["x"].CopyFrom(tf.make_tensor_proto([3.0]))
        over_grpc = client.prediction.Predict.future(request)
        over_rest: list[tuple[int, object]] = []
        asking = threading.Thread(target=lambda: over_rest.append(client.post("slow:predict", {"instances": [3]})))
        asking.start()
        time.sleep(0.8)
        server.send_signal(signal.SIGTERM)
        with contextlib.suppress(ConnectionError):
            while asking.is_alive():
                client.get("/slow")
                time.sleep(0.05)  # leaves processor time for the end of the server
        assert asking.is_alive(), "new requests are refused while the running one goes on"
        asking.join()
        assert over_rest == [(200, {"predictions": [3.0]})]
        assert list(over_grpc.result().outputs["y"].float_val) == [3.0]
        assert server.wait(20) == 0


def test_default_host_is_loopback(model_folder: Path) -> None:
    address = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False).stdout.split()
    if not address:
        pytest.skip("this machine has only the loopback address")
    for flags, reachable in (((), False), (("--host=0.0.0.0",), True)):
        with running.here(f"--model_base_path={model_folder / 'half'}", "--model_name=half", *flags) as client:
            for port in (client.rest_port, client.grpc_port):
                with socket.socket() as probe:
                    probe.settimeout(2)
                    assert (probe.connect_ex((address[0], port)) == 0) is reachable


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "set --model_base_path or --model_config_file"),
        (["--model_base_path=/m", "--port=0"], "nothing to listen on"),
        (["--model_base_path=/m", "--port=5", "--rest_api_port=5"], "must be different ports"),
        (["--model_base_path=/m", "--platform_config_file=x"], "--platform_config_file is not supported"),
        (["--model_base_path=/m", "--batching_parameters_file=x"], "without --enable_batching"),
        (["--model_config_file=/none"], "--model_config_file /none: no such file"),
        (["--model_base_path=/m", "--max_num_load_retries=-1"], "must not be negative"),
        (["--model_base_path=/m", "--enable_batching=maybe"], "must be true or false"),
        (["--model_base_path=/m", "--prot=5"], "unrecognized arguments: --prot=5"),
    ],
    ids=str,
)
def test_wrong_flag_exits_with_message(capsys: pytest.CaptureFixture[str], flags: list[str], message: str) -> None:
    from serving.model_server.main import main

    with pytest.raises(SystemExit) as ended:
        main(flags)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_session_config_file_is_read_below_flags(tmp_path: Path) -> None:
    file = tmp_path / "session.config"
    file.write_text("intra_op_parallelism_threads: 3 inter_op_parallelism_threads: 4 allow_soft_placement: true")
    given = parse(["--model_base_path=/m", f"--tensorflow_session_config_file={file}"])
    config = flag_values.session_config(given)
    assert config.allow_soft_placement
    assert (config.intra_op_parallelism_threads, config.inter_op_parallelism_threads) == (3, 4)
    given.tensorflow_intra_op_parallelism = 2
    assert flag_values.session_config(given).intra_op_parallelism_threads == 2


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "model_config_file",
            "model_config_list {",
            "line 1: Error parsing text-format tensorflow.serving.ModelServerConfig",
        ),
        ("model_config_file", "model_config_list {\n  model: 1 }", "models.config: line 2: Error parsing text-format"),
        ("model_config_file", "", "models.config: a ModelServerConfig must have a model_config_list"),
        ("model_config_file", 'model_config_list { config { name: "a" base_path: "b" } }', "absolute path"),
        ("monitoring_config_file", "prometheus { }", "not a MonitoringConfig in text format"),
        ("tensorflow_session_config_file", "graph_options: 1", "not a ConfigProto in text format"),
        ("batching_parameters_file", "max_batch_size { value: 0 }", "must be positive"),
        ("batching_parameters_file", "allowed_batch_sizes: 3", "must increase and end with max_batch_size"),
    ],
)
def test_wrong_file_exits_with_message(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, file: str, text: str, message: str
) -> None:
    from serving.model_server.main import main

    path = tmp_path / "models.config"
    path.write_text(text)
    flags = [f"--{file}={path}", *([] if file == "model_config_file" else ["--model_base_path=/m"])]
    with pytest.raises(SystemExit) as ended:
        main([*flags, *(["--enable_batching"] if "batching" in file else [])])
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and message in printed


def test_used_port_exits_with_message(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from serving.model_server.main import main

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            main([f"--rest_api_port={port}", "--port=0", f"--model_base_path={tmp_path}"])
    assert ended.value.code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err


def test_server_imports_no_tfx() -> None:
    program = (
        "import json, sys\n"
        "from serving.model_server import flags, main\n"
        "light = 'tensorflow' in sys.modules\n"
        "from compat.process import prepare\nprepare()\n"  # as main does
        "import serving.model_server.server\n"
        "heavy = {'tfx', 'apache_beam', 'tensorflow_transform', 'pandas', 'sklearn'} & set(sys.modules)\n"
        "print(json.dumps([light, sorted(heavy)]))\n"
    )
    done = subprocess.run([running.OURS.replace("kindred-model-server", "python"), "-c", program],
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1]) == [False, []]
