"""Notices of finished runs, sent to a server on this machine."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import http.server
import json
import math
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import PipelineConfig
from pipeline.config.sections.notify import Notify
from pipeline.records.root import Root
from pipeline.records.run_record import RunRecord, Status
from pipeline.running import local, notices
from pipeline.running.announcing import announce
from pipeline.running.notices import Notice, send
from pipeline.running.options import RunOptions

_FILE = {"name": "films", "data": {"path": "a.csv", "columns": {"left": "l", "right": "r"}}}


@dataclasses.dataclass
class Receiver:
    """A server that answers with `statuses` in turn, then with 200, and keeps the requests."""

    port: int = 0
    statuses: list[int] = dataclasses.field(default_factory=list)
    requests: list[tuple[str, dict[str, str], bytes]] = dataclasses.field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/kindred"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(notices, "_PAUSE", 0.01)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    receiver = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.requests.append((self.path, dict(self.headers), body))
            self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
            self.send_header("Location", f"{receiver.url}/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield receiver
    server.shutdown()
    thread.join()
    server.server_close()


def _notice(status: Status = "failed", error: str | None = "the disk is full") -> Notice:
    record = RunRecord.begin(PipelineConfig.model_validate(_FILE), "20261128-120000-000")
    record.status, record.error, record.metrics = status, error, {"rmse": 0.5, "auc": math.nan}
    notice = Notice.of(record, 1)
    assert notice is not None
    return notice


def test_webhook_gets_signed_json(receiver: Receiver) -> None:
    settings = Notify(webhook=receiver.url, webhook_secret="KEY")
    assert send(settings, _notice(), {"KEY": "open sesame"}) == []
    ((path, headers, body),) = receiver.requests
    assert path == "/kindred" and headers["Content-Type"] == "application/json"
    expected = hmac.new(b"open sesame", body, hashlib.sha256).hexdigest()
    assert headers["X-Kindred-Signature"] == f"sha256={expected}"
    content = json.loads(body)
    assert (content["event"], content["pipeline"], content["exit_code"]) == ("failed", "films", 1)
    assert (content["run_id"], content["error"]) == ("20261128-120000-000", "the disk is full")
    assert content["metrics"] == {"rmse": 0.5}


@pytest.mark.parametrize(
    ("status", "event"),
    [
        ("published", "published"),
        ("data_refused", "refused"),
        ("model_refused", "refused"),
        ("failed", "failed"),
        ("awaiting_approval", "awaiting_approval"),
    ],
)
def test_each_end_has_its_event(receiver: Receiver, status: Status, event: str) -> None:
    others = [name for name in ("published", "refused", "failed") if name != event]
    for on, count in (([event], 1), (others, 1)):
        assert send(Notify(on=tuple(on), webhook=receiver.url), _notice(status), {}) == []
        assert len(receiver.requests) == count
    assert json.loads(receiver.requests[0][2])["event"] == event


def test_search_alone_has_no_notice() -> None:
    record = RunRecord.begin(PipelineConfig.model_validate(_FILE), "20261128-120000-000")
    record.status = "tuned"
    assert Notice.of(record, 0) is None


def test_passing_failures_are_repeated(receiver: Receiver) -> None:
    receiver.statuses = [503, 429]
    assert send(Notify(webhook=receiver.url), _notice(), {}) == []
    assert len(receiver.requests) == 3
    receiver.statuses = [500, 500, 500]
    assert send(Notify(webhook=receiver.url), _notice(), {}) == ["notify.webhook: HTTP status 500 after 3 tries"]
    assert len(receiver.requests) == 6


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404])
def test_refusal_is_not_repeated(receiver: Receiver, status: int) -> None:
    receiver.statuses = [status]
    faults = send(Notify(webhook=receiver.url), _notice(), {})
    assert faults == [f"notify.webhook: HTTP status {status} after 1 try"]
    assert len(receiver.requests) == 1


def test_silent_server_is_given_up(receiver: Receiver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = Notify(
            webhook=f"http://127.0.0.1:{silent.getsockname()[1]}/",
            slack="SLACK",
            command=(sys.executable, "-c", "import time; time.sleep(60)"),
        )
        began = time.monotonic()
        faults = send(settings, _notice(), {"SLACK": receiver.url}, limit=1.0)
        assert time.monotonic() - began < 10
    assert sorted(fault.split(":")[0] for fault in faults) == ["notify.command", "notify.webhook"]
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    "secret", ["http://127.0.0.1:9/T0/hush-hush", "hush-hush", "http://[hush-hush", "http://a b/hush-hush\x01", ""]
)
def test_faults_have_no_secret(receiver: Receiver, secret: str) -> None:
    faults = send(Notify(slack="SLACK"), _notice(), {"SLACK": secret})
    assert len(faults) == 1 and faults[0].startswith("notify.slack: ")
    assert "hush" not in faults[0]


def test_missing_key_sends_nothing(receiver: Receiver) -> None:
    faults = send(Notify(webhook=receiver.url, webhook_secret="KEY"), _notice(), {})
    assert faults == ["notify.webhook: the environment variable KEY is not set"]
    assert receiver.requests == []


def test_slack_text_mentions_nobody(receiver: Receiver) -> None:
    assert send(Notify(slack="SLACK"), _notice(error="id <!channel> & co"), {"SLACK": receiver.url}) == []
    content = json.loads(receiver.requests[0][2])
    assert content == {"text": "films: failed: id &lt;!channel&gt; &amp; co (run 20261128-120000-000)"}


def test_command_gets_json(tmp_path: Path) -> None:
    code = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"
    settings = Notify(command=(sys.executable, "-c", code, str(tmp_path / "notice")))
    notice = _notice()
    assert send(settings, notice, {}) == []
    assert json.loads((tmp_path / "notice").read_text()) == notice.content


def test_failed_command_is_reported(tmp_path: Path) -> None:
    assert send(Notify(command=("false",)), _notice(), {"PATH": "/usr/bin:/bin"}) == [
        "notify.command: false ended with exit code 1"
    ]
    missing = str(tmp_path / "none")
    assert send(Notify(command=(missing,)), _notice(), {}) == [
        f"notify.command: {missing} could not be started (No such file or directory)"
    ]


@pytest.mark.parametrize("answer", [200, 404])
def test_refused_run_is_announced_with_its_exit_code(receiver: Receiver, answer: int, tmp_path: Path) -> None:
    receiver.statuses = [answer]
    (tmp_path / "serving" / "2015").mkdir(parents=True)
    (tmp_path / "serving" / "2015" / "photo").touch()
    config = PipelineConfig.model_validate({**_FILE, "notify": {"webhook": receiver.url}})
    outcome = local.run(config, Root(tmp_path), RunOptions(), lambda _: None)
    assert outcome.exit_code == 2
    ((_, _, body),) = receiver.requests
    content = json.loads(body)
    assert (content["event"], content["exit_code"], content["run_id"]) == ("failed", 2, outcome.record.run_id)
    assert 'kindred_run_exit_code{pipeline="films"} 2\n' in (tmp_path / "runs" / "metrics.prom").read_text()


def _drifted(status: Status, **check: Any) -> RunRecord:
    record = RunRecord.begin(PipelineConfig.model_validate(_FILE), "20261128-120000-000")
    rule = {"rule": "validate.max_unseen_share", "about": "left_id", "value": 0.75, "bound": 0.5, "ok": False}
    record.status, record.data = status, {"checks": [rule | check]}
    return record


@pytest.mark.parametrize("status", ["data_refused", "published"])
def test_drift_of_data_has_its_own_notice(receiver: Receiver, tmp_path: Path, status: Status) -> None:
    (tmp_path / "runs").mkdir()
    record = _drifted(status)
    announce(Notify(webhook=receiver.url), Root(tmp_path), record, 3, pytest.fail)
    first, second = (json.loads(body) for _, _, body in receiver.requests)
    assert first["event"] == ("refused" if status == "data_refused" else "published")
    assert (second["event"], second["of"], second["drift"]) == ("drift", "data", record.data["checks"])
    announce(Notify(on=("drift",), webhook=receiver.url), Root(tmp_path), record, 3, pytest.fail)
    assert len(receiver.requests) == 3


@pytest.mark.parametrize("check", [{"ok": True}, {"rule": "validate.min_rows"}, {"rule": "validate.max_score_skew"}])
def test_other_broken_rules_are_no_drift(check: dict[str, Any]) -> None:
    assert Notice.of_drift(_drifted("data_refused", **check), 3) is None


def test_text_of_a_drift_names_the_rule() -> None:
    notice = Notice.of_drift(_drifted("data_refused"), 3)
    assert notice and json.loads(notice.text()) == {
        "text": "films: drift of the data: validate.max_unseen_share left_id (run 20261128-120000-000)"
    }


def test_unreachable_target_of_a_drift_is_a_warning(tmp_path: Path) -> None:
    warnings: list[str] = []
    (tmp_path / "runs").mkdir()
    announce(Notify(on=("drift",), command=("false",)), Root(tmp_path), _drifted("published"), 0, warnings.append)
    assert warnings == ["a notice was not delivered: notify.command: false ended with exit code 1"]
