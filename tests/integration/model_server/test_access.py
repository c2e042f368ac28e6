"""TLS, bearer tokens and reloads: who may call, and what a refused caller learns."""

from __future__ import annotations

import datetime
import ipaddress
import logging
import ssl
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import text_format
from tensorflow_serving.apis import model_management_pb2, model_service_pb2_grpc

from errors import EndpointError
from pipeline import cli
from serving.endpoint import Endpoint
from serving.local_model import LocalModel
from serving.model_server.access import token_of
from serving.model_server.faults import Fault
from serving.model_server.flags import parse
from serving.model_server.server import ModelServer
from tests.integration.model_server import running
from tests.integration.model_server.running import Client
from tests.unit.trainer.planted_model import LEFT, RIGHT, Planted

TOKEN = "s3cret-of-this-test"


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Writes a certificate for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, folder.name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(exist_ok=True)
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return files


class Guarded:
    """A server with TLS and tokens on both ports that allows no reload."""

    def __init__(self, folder: Path, client: Client) -> None:
        self.ca, self.tokens, self.token = folder / "own" / "cert.pem", folder / "tokens", folder / "token"
        self.client = client
        self.urls = [
            f"https://127.0.0.1:{client.rest_port}/v1/models/words", f"grpcs://127.0.0.1:{client.grpc_port}/words"
        ]  # fmt: skip

    def ask(self, path: str, token: str | None = TOKEN, method: str = "GET") -> tuple[int, dict]:
        """Returns the status and the headers of a request over REST."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.client.rest_port}{path}", headers=headers, method=method
        )
        try:
            with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=str(self.ca))) as answer:
                return answer.status, {name.lower(): value for name, value in answer.headers.items()}
        except urllib.error.HTTPError as error:
            return error.code, {name.lower(): value for name, value in error.headers.items()}

    def channel(self) -> grpc.Channel:
        credentials = grpc.ssl_channel_credentials(self.ca.read_bytes())
        return grpc.secure_channel(f"127.0.0.1:{self.client.grpc_port}", credentials)


@pytest.fixture(scope="module")
def guarded(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    certificate, key = _certificate(folder / "own")
    (folder / "tokens").write_text(f"{TOKEN}\n")
    (folder / "token").write_text(f"{TOKEN}\n")
    (folder / "ssl.config").write_text(
        text_format.MessageToString(_ssl_config(certificate.read_text(), key.read_text()))
    )
    (folder / "monitoring").write_text("prometheus_config { enable: true }")
    with running.here(
        f"--model_base_path={planted.model.parent}", "--model_name=words", "--allow_reload_config=false",
        f"--rest_ssl_cert_file={certificate}", f"--rest_ssl_key_file={key}", f"--ssl_config_file={folder}/ssl.config",
        f"--auth_token_file={folder}/tokens", "--enable_grpc_healthcheck_service",
        f"--monitoring_config_file={folder}/monitoring", "--rest_api_enable_cors_support",
    ) as client:  # fmt: skip
        yield Guarded(folder, client)


def _ssl_config(certificate: str, key: str):
    from google.protobuf import message_factory

    from serving.model_server import text_protos

    kind = text_protos._pool().FindMessageTypeByName("kindred.serving.SSLConfig")
    return message_factory.GetMessageClass(kind)(server_cert=certificate, server_key=key)


def test_client_with_token_gets_answers(guarded: Guarded, planted: Planted) -> None:
    expected = LocalModel(planted.model).score(LEFT[0], RIGHT[0])
    for url in guarded.urls:
        found = Endpoint(url, guarded.ca, guarded.token).score(LEFT[0], RIGHT[0])
        assert found.score == pytest.approx(expected.score, abs=1e-6)


def test_command_takes_token_from_file_or_variable(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["kindred", "score", "--endpoint", guarded.urls[0], "--ca-file", str(guarded.ca)]
    for more, variable, code in (
        (["--token-file", str(guarded.token)], "", 0), ([], TOKEN, 0), ([], "wrong", 2), ([], "", 2)
    ):  # fmt: skip
        monkeypatch.setenv("KINDRED_TOKEN", variable)
        monkeypatch.setattr(sys, "argv", [*given, *more, "plain", "lock"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        assert (ended.value.code or 0) == code and ("score" in out) is (code == 0)
        assert TOKEN not in out + err and ("token" in err) is (code == 2)


@pytest.mark.parametrize("kind", [0, 1])
def test_callers_without_token_or_trust_are_refused(guarded: Guarded, tmp_path: Path, kind: int) -> None:
    url, wrong = guarded.urls[kind], tmp_path / "wrong"
    wrong.write_text("s3cret")
    for token in (None, wrong):
        with pytest.raises(EndpointError, match="send a valid token") as refused:
            Endpoint(url, guarded.ca, token).score(b"plain", b"lock")
        assert "s3cret" not in str(refused.value)
    other, _ = _certificate(tmp_path / "other")
    with pytest.raises(EndpointError):
        Endpoint(url, other, guarded.token).score(b"plain", b"lock")
    with pytest.raises(EndpointError):
        Endpoint(url.replace("s://", "://"), None, guarded.token).score(b"plain", b"lock")


@pytest.mark.parametrize("kind", [str, str.encode])
def test_token_counts_only_if_it_is_the_only_one(kind: Callable[[str], Any]) -> None:
    """A proxy in front may have checked the other one."""
    host, wrong, right = (
        (kind(n), kind(v)) for n, v in (("host", "x"), ("authorization", "a"), ("authorization", "b"))
    )
    assert token_of([host]) == token_of([wrong, right]) == token_of([right, host, wrong]) == b""
    assert token_of([host, right]) == b"b"


def test_what_needs_a_token(guarded: Guarded) -> None:
    for path in ("/v1/models/words", "/v1/models/words/metadata", "/monitoring/prometheus/metrics"):
        assert guarded.ask(path)[0] == 200
        for token in (None, "", TOKEN[:-1], f"{TOKEN}x", "\xff"):
            status, headers = guarded.ask(path, token)
            assert status == 401 and headers["www-authenticate"] == "Bearer"
    assert guarded.ask("/elsewhere", None)[0] == 401
    # A browser asks without a token whether it may send one.
    request = urllib.request.Request(guarded.urls[0], headers={"Origin": "https://page"}, method="OPTIONS")
    with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=str(guarded.ca))) as answer:
        assert "Authorization" in answer.headers["access-control-allow-headers"]


def test_health_needs_no_token(guarded: Guarded) -> None:
    with guarded.channel() as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(b"", timeout=10) == b"\x08\x01"
        status = channel.unary_unary("/tensorflow.serving.ModelService/GetModelStatus")
        with pytest.raises(grpc.RpcError) as refused:
            status(b"", timeout=10)
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_reload_can_be_turned_off(guarded: Guarded, planted: Planted, tmp_path: Path) -> None:
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.config.add(name="evil", base_path=str(tmp_path), model_platform="tensorflow")
    with guarded.channel() as channel:
        reload = model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest
        with pytest.raises(grpc.RpcError) as refused:
            reload(request, timeout=10, metadata=[("authorization", f"Bearer {TOKEN}")])
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert "--allow_reload_config=false" in refused.value.details()
    assert guarded.ask("/v1/models/words")[0] == 200 and guarded.ask("/v1/models/evil")[0] == 404


def test_changed_tokens_apply_at_once(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kindred.model_server")
    try:
        guarded.tokens.write_text(f"\n next \n{TOKEN}\n")
        assert [guarded.ask("/v1/models/words", token)[0] for token in ("next", TOKEN)] == [200, 200]
        guarded.tokens.write_text("next\n")
        assert [guarded.ask("/v1/models/words", token)[0] for token in ("next", TOKEN)] == [200, 401]
        for content in ("", None):  # a file without tokens opens nothing
            guarded.tokens.unlink() if content is None else guarded.tokens.write_text(content)
            assert [guarded.ask("/v1/models/words", token)[0] for token in ("next", "", None)] == [200, 401, 401]
        assert "stay valid" in caplog.text and "next" not in caplog.text and TOKEN not in caplog.text
    finally:
        guarded.tokens.write_text(f"{TOKEN}\n")


@pytest.mark.parametrize("content", [b"", b"\n \n", None])
def test_tokens_must_exist(planted: Planted, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "tokens"
    file.mkdir() if content is None else file.write_bytes(content)
    command = ["--rest_api_port=1", f"--model_base_path={planted.model.parent}", f"--auth_token_file={file}"]
    if content is None:
        with pytest.raises(SystemExit):
            parse(command)
    else:
        with pytest.raises(Fault, match=r"--auth_token_file .* has no token"):
            ModelServer(parse(command))


def test_wrong_certificates_are_named(planted: Planted, tmp_path: Path) -> None:
    certificate, _ = _certificate(tmp_path / "one")
    _, key = _certificate(tmp_path / "two")
    given = ["--rest_api_port=1", f"--model_base_path={planted.model.parent}", f"--rest_ssl_cert_file={certificate}"]
    for file in (key, certificate):
        with pytest.raises(Fault, match=r"--rest_ssl_cert_file .*--rest_ssl_key_file"):
            ModelServer(parse([*given, f"--rest_ssl_key_file={file}"]))
    with pytest.raises(SystemExit):
        parse(given)


def test_redirects_do_not_get_the_token(guarded: Guarded, tmp_path: Path) -> None:
    import http.server
    import threading

    seen = []

    class Redirecting(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def do_GET(self) -> None:
            seen.append(self.path)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Redirecting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(EndpointError, match="status 302"):
            Endpoint(f"http://127.0.0.1:{server.server_port}", None, guarded.token).score(b"plain", b"lock")
        server.shutdown()
    assert not seen


@pytest.mark.parametrize("content", ["", "two words", "caf\u00e9", "a\nb"])
def test_wrong_token_is_refused_before_it_is_sent(tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content)
    with pytest.raises(EndpointError, match=r"--token-file .* must be one token"):
        Endpoint("http://localhost:1", None, tmp_path / "token")
