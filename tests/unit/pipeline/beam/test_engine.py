"""The check of the engine before a run, against fake job servers and Flink REST interfaces."""

from __future__ import annotations

import contextlib
import datetime
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from errors import ConfigError, ServiceUnavailable, StoreError
from pipeline.beam import engine, flink_rest, profiles
from pipeline.beam.engine import check_engine
from pipeline.config.sections.beam import Beam
from tests.unit.pipeline.config.pipeline_files import DATAFLOW


@contextlib.contextmanager
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextlib.contextmanager
def answering(answers: dict[str, list[Any]]) -> Iterator[str]:
    """A web server that returns the answers of each path in turn, and then repeats the last one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            waiting = answers.get(self.path.partition("?")[0])
            self.send_response(200 if waiting else 404)
            self.end_headers()
            if waiting:
                body = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def slots(available: int, total: int = 4) -> dict[str, int]:
    return {"taskmanagers": 2, "slots-total": total, "slots-available": available}


def closed_port() -> int:
    with listening() as port:
        return port


def test_local_profile_needs_no_engine() -> None:
    check_engine(Beam())


def test_missing_job_server_names_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    port = closed_port()
    monkeypatch.setattr("pipeline.config.sections.beam.LOOPBACK_JOBS", f"localhost:{port}")
    with pytest.raises(ServiceUnavailable, match=rf"localhost:{port} does not answer .*`make flink-up`"):
        check_engine(Beam(profile="flink"))
    with pytest.raises(ServiceUnavailable, match="Start it, or correct the key"):
        check_engine(Beam(profile="flink", job_endpoint=f"localhost:{port}"))


def test_too_few_slots_are_refused() -> None:
    with listening() as jobs, answering({"/overview": [slots(3)]}) as flink:
        settings = Beam(profile="flink", flink_master=flink, job_endpoint=f"localhost:{jobs}", parallelism=3)
        check_engine(settings)
        with pytest.raises(
            ServiceUnavailable, match=r"beam.parallelism: needs 5 slots, but only 3 of the 4 .* are free"
        ):
            check_engine(settings.model_copy(update={"parallelism": 5}))


def test_released_slots_are_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as jobs, answering({"/overview": [slots(0), slots(1), slots(2)]}) as flink:
        settings = Beam(profile="flink", flink_master=flink, job_endpoint=f"localhost:{jobs}")
        check_engine(settings)
    monkeypatch.setattr(engine, "_SLOTS_SECONDS", 0.6)
    with listening() as jobs, answering({"/overview": [slots(0)]}) as flink:
        settings = Beam(profile="flink", flink_master=flink, job_endpoint=f"localhost:{jobs}")
        with pytest.raises(ServiceUnavailable, match="wait for other jobs"):
            check_engine(settings)


@pytest.mark.parametrize("answer", [b"<html>", {"other": 1}, [1]])
def test_other_server_is_refused(answer: Any) -> None:
    with listening() as jobs, answering({"/overview": [answer]}) as flink:
        settings = Beam(profile="flink", flink_master=flink, job_endpoint=f"localhost:{jobs}")
        with pytest.raises(ServiceUnavailable, match=f"Flink at http://{flink} is not a working Flink REST interface"):
            check_engine(settings)


def test_starting_job_server_needs_java(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Beam(profile="flink", flink_master="flink.example:8081")
    monkeypatch.setattr(engine.shutil, "which", lambda program: None)
    with pytest.raises(ConfigError, match="needs `java` on PATH"):
        check_engine(settings)
    monkeypatch.setattr(engine.shutil, "which", lambda program: "/usr/bin/java")
    check_engine(settings)


def test_dataflow_needs_access_to_its_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "_is_installed", lambda module: True)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"127.0.0.1:{closed_port()}")
    monkeypatch.setattr("storage.connect._SECONDS", datetime.timedelta(seconds=1))
    with pytest.raises(StoreError, match=r"^beam.dataflow.temp_location: .*cannot be reached"):
        check_engine(Beam(profile="dataflow", dataflow=DATAFLOW))


def test_last_error_of_named_job() -> None:
    jobs = {"jobs": [{"jid": "1", "name": "other"}, {"jid": "2", "name": "kindred-check-a"}]}
    said = {
        "root-exception": "old",
        "exceptionHistory": {"entries": [{"stacktrace": "a Beam worker could not start: x"}]},
    }
    with answering({"/jobs/overview": [jobs], "/jobs/2/exceptions": [said], "/jobs/1/exceptions": [{}]}) as flink:
        url = f"http://{flink}"
        assert flink_rest.last_error(url, "kindred-check-a") == "a Beam worker could not start: x"
        assert flink_rest.last_error(url, "other") == flink_rest.last_error(url, "none") == ""
    assert flink_rest.last_error(url, "kindred-check-a") == ""
