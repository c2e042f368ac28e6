"""A store with a certificate of a private authority: `storage.ca_file` in a pipeline file and in a stored root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from errors import StoreError
from storage.cache import CACHE
from storage.connect import connect
from storage.settings import StorageSettings
from storage.store import Store
from storage.urls import parse
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
    with pytest.raises(StoreError, match=r"has no effect on gs://.*those of the machine"):
        connect(parse("gs://planted"), settings)


def test_untrusted_certificate_is_named(endpoint: str, certificate: Path) -> None:
    program = f"""if True:
        from storage.settings import StorageSettings
        from storage.store import Store
        Store("s3://absent", StorageSettings(endpoint="{endpoint}", anonymous=True)).objects()"""
    told = _python(program)
    assert f"the certificate of {endpoint} is not trusted. Set storage.ca_file, or the variable SSL_CERT_FILE" in told
    assert "there is no bucket absent" in _python(program, SSL_CERT_FILE=str(certificate))
