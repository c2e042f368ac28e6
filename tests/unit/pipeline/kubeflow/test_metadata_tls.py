"""ML Metadata with mutual TLS: who is served, who is not, and a certificate that is renewed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from errors import ConfigError, ServiceUnavailable
from pipeline.config.sections.kubeflow import Grpc, Metadata
from pipeline.kubeflow import metadata, metadata_service
from pipeline.kubeflow.compiler import compile_package
from tests.unit.pipeline.kubeflow import films

pytestmark = pytest.mark.tensorflow


def openssl(*words: object) -> None:
    made = subprocess.run(["openssl", *map(str, words)], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"no openssl makes a certificate here: {made.stderr.decode()}")


def secret(folder: Path, authority: Path) -> Path:
    """Writes the files of a secret with a new certificate for 127.0.0.1 that `authority` signs."""
    folder.mkdir(exist_ok=True)
    key, request, chain, names = (folder / name for name in ("tls.key", "request", "tls.crt", "names"))
    names.write_text("subjectAltName=IP:127.0.0.1")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    if not (authority / "ca.crt").exists():
        authority.mkdir(exist_ok=True)
        subject = ("-subj", f"/CN={authority.name}", "-days", "1")
        openssl("req", "-x509", *curve, *subject, "-keyout", authority / "ca.key", "-out", authority / "ca.crt")
    openssl("req", *curve, "-subj", "/CN=kindred", "-keyout", key, "-out", request)
    signer = ("-CA", authority / "ca.crt", "-CAkey", authority / "ca.key", "-CAcreateserial")
    openssl("x509", "-req", "-in", request, *signer, "-days", "1", "-extfile", names, "-out", chain)
    (folder / "ca.crt").write_text((authority / "ca.crt").read_text())
    return folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    """A service with TLS, and a task with the right secret."""
    folder = secret(tmp_path / "service", tmp_path / "authority")
    server, port = metadata_service.serve(Metadata(sqlite=str(tmp_path / "m.sqlite")), "127.0.0.1", 0, folder)
    monkeypatch.setattr(metadata, "TLS_FOLDER", secret(tmp_path / "task", tmp_path / "authority"))
    yield Metadata(grpc=Grpc(host="127.0.0.1", port=port, tls_secret="kindred-metadata-tls"), wait_seconds=1)
    server.stop(None).wait()


def test_task_with_certificate_is_served(place: Metadata) -> None:
    assert metadata.open_store(metadata.wait_for(place)).get_artifacts() == []


def test_task_without_tls_is_not_served(place: Metadata) -> None:
    assert place.grpc is not None
    plain = place.model_copy(update={"grpc": place.grpc.model_copy(update={"tls_secret": None})})
    with pytest.raises(ServiceUnavailable, match="both sides must use TLS"):
        metadata.wait_for(plain)


@pytest.mark.parametrize("side", ["task", "service"])
def test_certificate_of_another_authority_is_not_served(place: Metadata, tmp_path: Path, side: str) -> None:
    """The service refuses the task, or the task the service."""
    strange = secret(tmp_path / "strange", tmp_path / "another")
    names = ("tls.crt", "tls.key") if side == "task" else ("ca.crt",)
    for name in names:
        (tmp_path / "task" / name).write_text((strange / name).read_text())
    with pytest.raises(ServiceUnavailable, match="with the same authority"):
        metadata.wait_for(place)


def test_client_without_certificate_is_not_served(place: Metadata, tmp_path: Path) -> None:
    assert place.grpc is not None
    only_authority = grpc.ssl_channel_credentials((tmp_path / "task" / "ca.crt").read_bytes())
    with grpc.secure_channel(f"127.0.0.1:{place.grpc.port}", only_authority) as channel:
        call = channel.unary_unary("/ml_metadata.MetadataStoreService/GetArtifacts")
        with pytest.raises(grpc.RpcError) as refused:
            call(b"", timeout=5)
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


def test_renewed_certificates_need_no_restart(place: Metadata, tmp_path: Path) -> None:
    for name in ("service", "task"):
        secret(tmp_path / name, tmp_path / "renewed")
    assert metadata.wait_for(place)


def test_missing_file_of_secret_is_named(place: Metadata, tmp_path: Path) -> None:
    (tmp_path / "task" / "tls.key").unlink()
    with pytest.raises(ConfigError, match=r"tls_secret: its file .*tls\.key cannot be read"):
        metadata.wait_for(place)


def test_tasks_mount_the_secret() -> None:
    changed: dict[str, Any] = {"grpc": {"tls_secret": "kindred-metadata-tls"}}
    package = films.Package(compile_package(films.config(metadata=changed)))
    for task in package.tasks:
        mounts = {mount["secretName"]: mount["mountPath"] for mount in task.platform["secretAsVolume"]}
        assert mounts["kindred-metadata-tls"] == str(metadata_service.TLS_FOLDER), task.name
