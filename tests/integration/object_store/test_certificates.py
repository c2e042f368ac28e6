"""A store with a certificate of a private authority: `storage.ca_file` in a pipeline file and in a stored root."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from errors import StoreError
from storage.cache import CACHE
from storage.settings import StorageSettings
from storage.store import Store
from tests.e2e import planted
from tests.object_store import BUCKET, CREDENTIALS, s3_server

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate of 127.0.0.1, which is its own authority. Its key is in `key.pem` beside it."""
    folder = tmp_path_factory.mktemp("tls")
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-days", "2"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run(made, check=True, capture_output=True, cwd=folder)
    return folder / "certificate.pem"


@pytest.fixture(scope="module")
def endpoint(certificate: Path) -> Iterator[str]:
    with s3_server("-c", str(certificate), "-k", str(certificate.with_name("key.pem"))) as endpoint:
        yield endpoint.replace("http:", "https:")


def _python(program: str, **variables: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment | CREDENTIALS | variables, capture_output=True, text=True
    )
    return done.stdout + done.stderr


_COMMANDS = """
from pipeline.cli import main
import sys
for words in {commands}:
    sys.argv = ["kindred", *words]
    try:
        main()
    except SystemExit as end:
        print(words[0], "ends with", end.code)
"""


def test_pipeline_file_and_stored_root_know_the_certificate(endpoint: str, certificate: Path, tmp_path: Path) -> None:
    """`run` is stopped by its data after it has read them. It has stored the root by then."""
    file = planted.write_pipeline(tmp_path)
    file.write_text(f"{file.read_text()}\nstorage: {{endpoint: {endpoint!r}, ca_file: own.pem}}\n")
    upload = f"""if True:
        from pyarrow import fs
        store = fs.S3FileSystem(endpoint_override="{endpoint}", region="us-east-1", allow_bucket_creation=True)
        store.create_dir("{BUCKET}")
        with store.open_output_stream("{BUCKET}/pairs.csv") as out:
            out.write(open({str(tmp_path / "pairs.csv")!r}, "rb").read().splitlines(keepends=True)[0])"""
    assert _python(upload, SSL_CERT_FILE=str(certificate)) == ""

    root, cache = f"s3://{BUCKET}/root", {CACHE: str(tmp_path / "cache")}
    of_file = ["--config", str(file), "--data", f"s3://{BUCKET}/*.csv"]
    program = _COMMANDS.format(commands=[["check", *of_file]])
    assert "storage.ca_file" in (told := _python(program, **cache)) and "own.pem: cannot be read" in told
    (tmp_path / "own.pem").write_text("no certificates")
    assert "has no certificates. Set it to a file in the format PEM" in _python(program, **cache)
    shutil.copyfile(certificate, tmp_path / "own.pem")
    assert "check ends with 2" not in (told := _python(program, **cache)), told
    told = _python(_COMMANDS.format(commands=[["run", *of_file, "--root", root]]), **cache)
    assert "no row" in told and "not trusted" not in told
    told = _python(_COMMANDS.format(commands=[["runs", "--root", root], ["versions", "--root", root]]), **cache)
    assert "runs ends with 0" in told and f"{root}/serving has no version" in told, told


def test_import_before_is_named(endpoint: str, certificate: Path) -> None:
    import pyarrow.fs  # noqa: F401

    settings = StorageSettings(endpoint=endpoint, anonymous=True, ca_file=str(certificate))
    with pytest.raises(StoreError, match=r"imported PyArrow already.* Set the variable SSL_CERT_FILE to the file"):
        Store(f"s3://{BUCKET}", settings).objects()


def test_untrusted_certificate_is_named(endpoint: str, certificate: Path) -> None:
    program = f"""if True:
        from storage.settings import StorageSettings
        from storage.store import Store
        Store("s3://absent", StorageSettings(endpoint="{endpoint}", anonymous=True)).objects()"""
    told = _python(program)
    assert f"the certificate of {endpoint} is not trusted. Set storage.ca_file, or the variable SSL_CERT_FILE" in told
    assert "there is no bucket absent" in _python(program, SSL_CERT_FILE=str(certificate))


class _Empty(BaseHTTPRequestHandler):
    """A store that has nothing."""

    def do_GET(self) -> None:
        self.server.seen.append(self.path)  # type: ignore[attr-defined]
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("url", ["gs://planted/a", "az://planted/a"])
def test_google_and_azure_know_the_certificate(url: str, certificate: Path) -> None:
    """PyArrow's clients of both have no option for it, and read a variable whenever they connect."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Empty)
    server.seen = []  # type: ignore[attr-defined]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    program = f"""if True:
        import pyarrow.fs
        from storage.settings import StorageSettings
        from storage.store import Store
        options = {{"endpoint": "https://127.0.0.1:{server.server_port}", "anonymous": True}}
        for more in ({{}}, {{"ca_file": {str(certificate)!r}}}):
            try:
                print("found", Store({url!r}, StorageSettings(**options, **more)).find("x"))
            except Exception as error:
                print(type(error).__name__, error)"""
    account = {"AZURE_STORAGE_ACCOUNT": "planted", "AZURE_STORAGE_KEY": "a2V5"}
    try:
        untrusted, *trusted = _python(program, **account).splitlines()
        assert "is not trusted. Set storage.ca_file" in untrusted
        assert "is not trusted" not in str(trusted) and server.seen, trusted  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
