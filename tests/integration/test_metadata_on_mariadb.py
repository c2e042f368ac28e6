"""ML Metadata on a real MariaDB, as in deploy/kubeflow: writes, reads, and a restart of the database."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2

from errors import ServiceUnavailable
from pipeline.config.sections.kubeflow import Grpc, Metadata, Mysql
from pipeline.kubeflow import metadata, metadata_service

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.skipif(
        shutil.which("mariadbd") is None, reason="there is no MariaDB here: apt-get install mariadb-server"
    ),
]
PASSWORD = "not a secret"


class Database:
    """A MariaDB server for this test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (folder / "init.sql").write_text(
            "CREATE DATABASE IF NOT EXISTS kindred;\n"
            f"CREATE USER IF NOT EXISTS 'kindred'@'%' IDENTIFIED BY '{PASSWORD}';\n"
            "GRANT ALL ON kindred.* TO 'kindred'@'%';\n"
        )
        install = [
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={folder / 'data'}",
            "--user=root",
            "--skip-test-db",
        ]
        subprocess.run(install, check=True, capture_output=True)
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                "mariadbd", "--no-defaults", f"--datadir={self._folder / 'data'}", "--user=root",
                f"--socket={self._folder / 's'}", f"--port={self.port}", "--bind-address=127.0.0.1",
                f"--init-file={self._folder / 'init.sql'}", f"--pid-file={self._folder / 'pid'}",
                "--innodb-flush-log-at-trx-commit=0",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    server = Database(tmp_path_factory.mktemp("m"))
    yield server
    server.stop()


@pytest.fixture
def mysql(database: Database, monkeypatch: pytest.MonkeyPatch) -> Metadata:
    monkeypatch.setenv(metadata.PASSWORD_VARIABLE, PASSWORD)
    place = Mysql(host="127.0.0.1", port=database.port, secret="kindred-metadata-db")
    return Metadata(mysql=place, wait_seconds=60)


def test_service_survives_database_restart(database: Database, mysql: Metadata) -> None:
    server, port = metadata_service.serve(mysql, "127.0.0.1", 0)
    store = metadata.open_store(metadata.wait_for(Metadata(grpc=Grpc(host="127.0.0.1", port=port))))
    kind = metadata_store_pb2.ArtifactType(name="Model", properties={"rows": metadata_store_pb2.INT})
    artifact = metadata_store_pb2.Artifact(type_id=store.put_artifact_type(kind), uri="/m/é")
    artifact.properties["rows"].int_value = 2**31 - 1  # the maximum of ML Metadata's column in MySQL
    (artifact_id,) = store.put_artifacts([artifact])
    database.stop()
    database.start()
    metadata.wait_for(mysql)
    (found,) = store.get_artifacts_by_id([artifact_id])
    assert (found.uri, found.properties["rows"].int_value) == ("/m/é", 2**31 - 1)
    server.stop(None).wait()


def test_tasks_may_use_the_database_itself(mysql: Metadata) -> None:
    with metadata.PatientMetadata(metadata.wait_for(mysql)) as handle:
        kind = metadata_store_pb2.ContextType(name="run")
        context = metadata_store_pb2.Context(type_id=handle.store.put_context_type(kind), name=f"run {time.time()}")
        (context_id,) = handle.store.put_contexts([context])
    with metadata.PatientMetadata(metadata.wait_for(mysql)) as again:
        assert [c.name for c in again.store.get_contexts_by_id([context_id])] == [context.name]


def test_wrong_password_message_names_user_and_address(mysql: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(metadata.PASSWORD_VARIABLE, "wrong")
    with pytest.raises(
        ServiceUnavailable, match=r"mysql kindred@127\.0\.0\.1:\d+/kindred did not answer.*user and password"
    ) as no:
        metadata.wait_for(mysql.model_copy(update={"wait_seconds": 1}))
    assert "wrong" not in str(no.value)
