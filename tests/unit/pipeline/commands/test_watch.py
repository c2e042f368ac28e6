"""Watching a published version on a server with planted states and counters."""

from __future__ import annotations

import dataclasses
import http.server
import json
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest

from pipeline.commands import rollback
from pipeline.commands.watch import command
from pipeline.commands.watch.command import settings_of, watch_newest
from pipeline.commands.watch.server import Counters, Server, Unreachable
from pipeline.commands.watch.watching import Watched, watch
from pipeline.config.sections.watch import WatchSettings
from pipeline.records.root import Root
from serving.model_server.metrics import ServerMetrics
from tests.request_logs import logged, write_log

pytestmark = pytest.mark.tensorflow

# What TensorFlow Serving 2.20 exports, shortened.
OF_TENSORFLOW = """# TYPE :tensorflow:serving:request_count counter
:tensorflow:serving:request_count{model_name="films",status="OK"} 90
:tensorflow:serving:request_count{model_name="films",status="INVALID_ARGUMENT"} 10
:tensorflow:serving:request_count{model_name="music",status="INTERNAL"} 7
# TYPE :tensorflow:serving:request_latency histogram
:tensorflow:serving:request_latency_bucket{model_name="films",API="Predict",entrypoint="GRPC",le="10"} 0
:tensorflow:serving:request_latency_bucket{model_name="films",API="Predict",entrypoint="GRPC",le="+Inf"} 100
:tensorflow:serving:request_latency_sum{model_name="films",API="Predict",entrypoint="GRPC"} 400000
:tensorflow:serving:request_latency_count{model_name="films",API="Predict",entrypoint="GRPC"} 100
"""


@dataclasses.dataclass
class Planted:
    """A server with one state, whose requests grow with each look."""

    port: int = 0
    state: str = "AVAILABLE"
    error: str = ""
    errors: int = 0
    milliseconds: float = 1.0
    looks: int = 0
    text: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def metrics(self) -> str:
        self.looks += 1
        if self.text is not None:
            return self.text
        metrics = ServerMetrics()
        metrics.requests.add("films", "OK", by=1000 * self.looks)
        metrics.requests.add("films", "INTERNAL", by=self.errors * self.looks)
        for _ in range(100 * self.looks):
            metrics.request_latency.labels(model_name="films", API="predict", entrypoint="REST").observe(
                self.milliseconds * 1000
            )
        return metrics.page().decode()

    def status(self) -> str:
        code = "OK" if not self.error else "DATA_LOSS"
        entry = {"version": "2", "state": self.state, "status": {"error_code": code, "error_message": self.error}}
        return json.dumps({"model_version_status": [entry]})


@pytest.fixture
def planted() -> Iterator[Planted]:
    planted = Planted()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_status = self.path == "/v1/models/films"
            body = (planted.status() if is_status else planted.metrics()).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    planted.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield planted
    server.shutdown()
    server.server_close()


def _settings(url: str, **bounds: Any) -> WatchSettings:
    times = {"minutes": 0.01, "every_seconds": 0.05, "load_seconds": 0.3}
    return WatchSettings(endpoint=url, **{**times, **(bounds or {"max_error_rate": 0.01})})


def _watch(planted: Planted, unknown: tuple[int, int] = (0, 0), newest: int = 2, **bounds: Any) -> Watched:
    settings = _settings(planted.url, **bounds)
    return watch(Server(planted.url, settings.metrics, "films"), 2, settings, lambda: unknown, lambda: newest)


def test_counters_of_both_servers_are_read(planted: Planted) -> None:
    server = Server(planted.url, "/monitoring/prometheus/metrics", "films")
    planted.text = OF_TENSORFLOW
    assert server.counters() == Counters(100, 10, 100, 400_000)
    planted.text, planted.errors, planted.looks = None, 4, 0
    assert server.counters() == Counters(1004, 4, 100, 100_000)


def test_restarted_server_counts_from_zero() -> None:
    assert Counters(5, 1, 5, 50).since(Counters(100, 3, 100, 900)) == Counters(5, 1, 5, 50)
    assert Counters(105, 4, 105, 950).since(Counters(100, 3, 100, 900)) == Counters(5, 1, 5, 50)


def test_version_within_its_bounds_is_kept(planted: Planted) -> None:
    planted.errors = 1
    found = _watch(planted, (1000, 10), max_error_rate=0.01, max_latency_ms=2, max_unknown=0.02, log="/l")
    assert (found.state, found.exit_code) == ("kept", 0)
    assert found.figures == pytest.approx({"max_error_rate": 1 / 1001, "max_latency_ms": 1.0, "max_unknown": 0.01})
    assert planted.looks > 2


@pytest.mark.parametrize(
    ("bounds", "unknown", "reason"),
    [
        ({"max_error_rate": 0.01}, (0, 0), "max_error_rate is 0.04762, above 0.01"),
        ({"max_latency_ms": 2.5}, (0, 0), "max_latency_ms is 3, above 2.5"),
        ({"max_unknown": 0.1, "log": "/l"}, (1000, 200), "max_unknown is 0.2, above 0.1"),
    ],
)
def test_broken_bound_ends_the_watch(
    planted: Planted, bounds: dict[str, Any], unknown: tuple[int, int], reason: str
) -> None:
    planted.errors, planted.milliseconds = 50, 3
    found = _watch(planted, unknown, minutes=1, **bounds)
    assert (found.state, found.reason, found.exit_code) == ("rolled_back", reason, 4)


def test_few_requests_decide_nothing(planted: Planted) -> None:
    planted.errors = 500
    found = _watch(planted, (9, 9), max_error_rate=0.01, max_unknown=0.1, log="/l", min_requests=10**6)
    assert (found.state, found.figures) == ("kept", {})


def test_version_that_does_not_load_is_rolled_back(planted: Planted) -> None:
    planted.state, planted.error = "END", "variables are damaged"
    found = _watch(planted)
    assert (found.state, found.reason) == ("rolled_back", "the server cannot load version 2: variables are damaged")


def test_newer_version_ends_the_watch(planted: Planted) -> None:
    assert _watch(planted, newest=3, minutes=1, max_error_rate=1).state == "superseded"


@pytest.mark.parametrize("broken", ["closed", "no metrics", "another server", "never available"])
def test_server_that_cannot_be_watched_keeps_the_version(planted: Planted, broken: str) -> None:
    if broken == "closed":
        with socket.create_server(("127.0.0.1", 0)) as unused:
            planted.port = unused.getsockname()[1]
    elif broken == "never available":
        planted.state = "LOADING"
    elif broken == "another server":
        planted.status = lambda: "<html>"  # type: ignore[method-assign]
    else:
        planted.text = "{not: metrics"
    found = _watch(planted)
    assert (found.state, found.exit_code) == ("not_watched", 1), found
    assert "could not be watched" in found.describe()


def test_lost_server_is_reported(planted: Planted) -> None:
    server = Server("http://127.0.0.1:9", "/m", "films")
    with pytest.raises(Unreachable, match="Connection refused"):
        server.counters()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Root:
    """A root with two versions and the record of the newest. Rollbacks are noted and not made."""
    root = Root(tmp_path / "root")
    for version in (1, 2):
        (root.path / "serving" / str(version)).mkdir(parents=True)
    run = root.runs / "20260101-000000-000"
    run.mkdir(parents=True)
    notify = {"on": ["rolled_back"], "command": [sys.executable, "-c", _COPY, str(tmp_path / "notice.json")]}
    config = {"publish": {"to": "serving"}, "notify": notify}
    summary = {"pipeline": "films", "status": "published", "published": "serving/2", "config": config}
    (run / "summary.json").write_text(json.dumps(summary))
    return root


_COPY = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"


def _record(root: Root) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root.runs / "20260101-000000-000" / "summary.json").read_text())["watch"]
    return content


def test_rollback_is_recorded_and_announced(
    root: Root, planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted.errors, calls = 500, []
    monkeypatch.setattr(command, "roll_back", lambda *arguments, **named: calls.append((arguments[3], named)))
    found = watch_newest(root, _settings(planted.url, max_error_rate=0.01), print, pytest.fail)
    assert (found.state, _record(root)["state"]) == ("rolled_back", "rolled_back")
    assert calls == [("watch: max_error_rate is 0.3333, above 0.01", {"newest": 2})]
    content = json.loads((tmp_path / "notice.json").read_text())
    assert (content["event"], content["version"], content["run_id"]) == ("rolled_back", 2, "20260101-000000-000")


def test_version_without_another_to_serve_stays(root: Root, planted: Planted, tmp_path: Path) -> None:
    planted.errors = 500
    found = watch_newest(root, _settings(planted.url), print, pytest.fail)
    assert (found.state, found.exit_code) == ("not_rolled_back", 4), "this root has no database"
    assert "contains no run" in _record(root)["reason"] and not (tmp_path / "notice.json").exists()


def test_unknown_ids_are_counted_in_the_log(root: Root, planted: Planted, tmp_path: Path) -> None:
    def asked(known: bool, version: int, model: str = "films") -> bytes:
        return logged("similar_right", {"left_id": [b"a"]}, {"known": [known]}, model, version)

    found = []

    def grow() -> None:
        write_log(tmp_path / "log.1", [asked(False, 2)] * 30 + [asked(True, 2)] * 10 + [asked(True, 1)] * 99)

    timer = threading.Timer(0.1, grow)
    timer.start()
    settings = _settings(planted.url, max_unknown=0.8, log=str(tmp_path / "log"), min_requests=40, minutes=0.02)
    found.append(watch_newest(root, settings, print, pytest.fail))
    timer.join()
    assert found[0].state == "kept" and found[0].figures == {"max_unknown": 0.75}


def test_signal_ends_the_watch_and_keeps_the_version(root: Root, planted: Planted) -> None:
    timer = threading.Timer(0.5, signal.raise_signal, (signal.SIGTERM,))
    timer.start()
    found = watch_newest(root, _settings(planted.url, max_error_rate=1, minutes=1), print, pytest.fail)
    timer.join()
    assert (found.state, found.exit_code, _record(root)["state"]) == ("stopped", 143, "stopped")


def test_only_the_watched_version_is_withdrawn(root: Root) -> None:
    from components.pusher.local import LocalVersions

    versions = LocalVersions(str(root.path / "serving"))
    with pytest.raises(LookupError, match="version 2 was published after 1"):
        rollback.Rollback.planned("serving", versions, None, False, newest=1)
    assert rollback.Rollback.planned("serving", versions, None, False, newest=2).withdrawn == [2]


def test_section_is_needed(root: Root) -> None:
    from errors import ConfigError

    with pytest.raises(ConfigError, match=r"no section publish\.watch"):
        settings_of(root)


@pytest.mark.parametrize("bounds", [{}, {"max_unknown": 0.1}, {"max_error_rate": 0.1, "log": "/l"}])
def test_bounds_need_their_source(bounds: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError, match=r"needs a bound|need each other"):
        WatchSettings(endpoint="http://h:1", **bounds)
