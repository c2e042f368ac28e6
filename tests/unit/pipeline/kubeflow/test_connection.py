"""How `kindred submit` reaches a server: credentials that are renewed, headers, TLS, proxies."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import ClusterRefused
from pipeline.kubeflow import run_view
from pipeline.kubeflow.client import KubeflowClient
from pipeline.kubeflow.connection import configuration_of
from pipeline.kubeflow.options import Access
from tests.unit.pipeline.kubeflow.conftest import RunKindred
from tests.unit.pipeline.kubeflow.fake_kubeflow import FakeKubeflow
from tests.unit.pipeline.kubeflow.fake_workflow import done, running
from tests.unit.pipeline.kubeflow.films_run import DATA, at, published


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("first\n")
    return path


def _replace_while_following(server: FakeKubeflow, monkeypatch: pytest.MonkeyPatch, renew: Any) -> None:
    """Replaces the server's token once the run is followed, and calls `renew` at the first wait."""
    server.script = [at("RUNNING", running("data")), at("SUCCEEDED", done("data", *DATA), published())]
    waits: list[float] = []

    def wait(seconds: float) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        waits.append(seconds)
        if len(waits) == 1:
            server.token = "second"
        elif server.token == "second":
            renew()

    monkeypatch.setattr("time.sleep", wait)
    monkeypatch.setattr(run_view, "PATIENCE_WITH_REFUSALS", 30.0)


def test_token_file_is_read_again(
    submit: Any, server: FakeKubeflow, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.token = "first"
    _replace_while_following(server, monkeypatch, lambda: token_file.write_text("second"))
    code, _, err = submit("--token-file", str(token_file))
    assert code == 0, err
    assert "(401)" in err and "answers again" in err and "second" not in err


def test_token_that_kubeflow_mounts_is_used(
    submit: Any, server: FakeKubeflow, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.token = "first"
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(token_file))
    assert submit()[0] == 0
    assert submit("--token", "other")[0] == 2, "the option wins"


def test_credential_plugin_runs_again(
    run_kindred: RunKindred, server: FakeKubeflow, package: Path, kubeconfig: Path, tmp_path: Path
) -> None:
    plugin = tmp_path / "plugin.py"
    calls = tmp_path / "calls"
    expired = {"expirationTimestamp": "2000-01-01T00:00:00Z", "token": server.token}
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": expired}
    plugin.write_text(f"open({str(calls)!r}, 'a').write('x')\nprint({json.dumps(credential)!r})")
    content = json.loads(kubeconfig.read_text())
    execute = {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable, "args": [str(plugin)]}
    content["users"][0]["user"] = {"exec": execute | {"interactiveMode": "Never"}}
    kubeconfig.write_text(json.dumps(content))
    code, _, err = run_kindred(
        "submit", "--package", str(package), "--no-wait", "--kubeconfig", str(kubeconfig), host=""
    )
    assert code == 0, err
    assert len(calls.read_text()) > 2


def test_headers_and_cookies_are_sent_and_not_printed(submit: Any, server: FakeKubeflow) -> None:
    arguments = ["--header", "X-Team: a:b", "--cookie", "session=hidden"]
    code, _, err = submit(*arguments)
    assert code == 0, err
    assert {(sent["X-Team"], sent["Cookie"]) for sent in server.headers} == {("a:b", "session=hidden")}
    assert "hidden" not in err


@given(st.text(max_size=20).filter(lambda text: ":" not in text))
def test_header_without_colon_is_refused(header: str) -> None:
    with pytest.raises(ClusterRefused, match="--header"):
        KubeflowClient(Access(host="http://127.0.0.1:1", header=[header]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ca-file", "missing.pem"], ["--ca-file missing.pem: does not exist"]),
        (["--cert", "missing.pem"], ["--cert missing.pem: does not exist"]),
        (["--token-file", "missing"], ["--token-file missing: cannot be read"]),
        (["--token", "a", "--token-file", "b"], ["give only one"]),
    ],
)
def test_wrong_option_sends_no_request(
    submit: Any, server: FakeKubeflow, arguments: list[str], words: list[str]
) -> None:
    code, out, err = submit(*arguments)
    assert (code, out, server.requests) == (2, "", []) and all(word in err for word in words), err


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, ["path of --host"]), (500, ["proxy in front", "pods of Kubeflow"]), (403, ["--token", "--cookie"])],
)
def test_web_page_is_explained_by_its_status(submit: Any, server: FakeKubeflow, status: int, words: list[str]) -> None:
    server.failing, server.failures = "/experiments", [(status, "<html>nginx</html>")]
    code, _, err = submit()
    assert code == 2 and all(word in err for word in words) and "nginx" not in err, err


@pytest.fixture
def tls_server(server: FakeKubeflow, tmp_path: Path) -> Path:
    """Makes the server speak TLS. Returns its self-signed certificate."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"no openssl makes a certificate here: {made.stderr.decode()}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.speak_tls(context)
    return certificate


def test_authority_of_the_server_is_given_as_a_file(submit: Any, server: FakeKubeflow, tls_server: Path) -> None:
    assert server.url.startswith("https://")
    code, _, err = submit()
    assert code == 1 and "--ca-file" in err and "CERTIFICATE_VERIFY_FAILED" in err
    assert submit("--ca-file", str(tls_server))[0] == 0


def test_files_that_are_no_certificates_are_refused(submit: Any, tls_server: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    for arguments in (["--ca-file", str(wrong)], ["--ca-file", str(tls_server), "--cert", str(wrong)]):
        code, _, err = submit(*arguments)
        assert code in (1, 2) and "--ca-file, --cert and --key" in err, err


def test_tls_to_a_plain_server_is_explained(run_kindred: RunKindred, server: FakeKubeflow, package: Path) -> None:
    host = server.url.replace("http://", "https://")
    code, _, err = run_kindred("submit", "--package", str(package), host=host)
    assert code == 1 and "begin --host with http://" in err, err


@pytest.mark.parametrize(
    ("host", "no_proxy", "proxy"),
    [
        ("http://kubeflow.example", "", "http://user:hidden@127.0.0.1:1"),
        ("http://kubeflow.example", "kubeflow.example", None),
        ("http://a.kubeflow.example:8080/pipeline", ".kubeflow.example", None),
        ("https://kubeflow.example", "", "http://127.0.0.1:2"),
        ("http://127.0.0.1:8080", "", None),
        ("http://[::1]:8080", "", None),
        ("http://localhost", "", None),
    ],
)
def test_proxy_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, host: str, no_proxy: str, proxy: str | None
) -> None:
    for name, value in {
        "http_proxy": "http://user:hidden@127.0.0.1:1",
        "https_proxy": "http://127.0.0.1:2",
        "no_proxy": no_proxy,
    }.items():
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.setenv(name, value)
    assert configuration_of(Access(host=host)).proxy == proxy


def test_unreachable_proxy_is_named_without_its_password(
    run_kindred: RunKindred, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://user:hidden@127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    code, _, err = run_kindred("submit", "--package", str(package), host="http://kubeflow.example")
    assert code == 1 and "http://127.0.0.1:1" in err and "NO_PROXY" in err and "hidden" not in err, err
