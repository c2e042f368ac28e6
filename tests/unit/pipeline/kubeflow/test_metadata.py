"""ML Metadata as a service: its responses, its restarts, and restarts of its database."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import ml_metadata as mlmd
import pytest
from ml_metadata import errors
from ml_metadata.proto import metadata_store_pb2

from errors import ServiceUnavailable
from pipeline.config.sections.kubeflow import Grpc, Metadata
from pipeline.kubeflow import metadata, metadata_service
from pipeline.kubeflow.metadata_service import Store

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Metadata]:
    """A service on SQLite."""
    server, port = metadata_service.serve(Metadata(sqlite=str(tmp_path / "m.sqlite")), "127.0.0.1", 0)
    yield Metadata(grpc=Grpc(host="127.0.0.1", port=port), wait_seconds=10)
    server.stop(None).wait()


def write_and_read(store: mlmd.MetadataStore) -> None:
    """Writes a type, an execution, an artifact and an event, and reads them back."""
    kind = metadata_store_pb2.ExecutionType(name="Train", properties={"epochs": metadata_store_pb2.INT})
    execution = metadata_store_pb2.Execution(type_id=store.put_execution_type(kind))
    execution.properties["epochs"].int_value = 5
    artifact_type = metadata_store_pb2.ArtifactType(name="Model")
    artifact = metadata_store_pb2.Artifact(type_id=store.put_artifact_type(artifact_type), uri="/m/é")
    event = metadata_store_pb2.Event(type=metadata_store_pb2.Event.OUTPUT)
    execution_id, (artifact_id,), _ = store.put_execution(execution, [(artifact, event)], [])
    (found,) = store.get_executions_by_id([execution_id])
    assert found.properties["epochs"].int_value == 5
    (model,) = store.get_artifacts_by_id([artifact_id])
    assert (model.uri, model.type) == ("/m/é", "Model")
    (between,) = store.get_events_by_execution_ids([execution_id])
    assert between.artifact_id == artifact_id


def test_grpc_writes_are_read_back(place: Metadata) -> None:
    write_and_read(metadata.open_store(metadata.wait_for(place)))


def test_store_errors_are_passed_through(place: Metadata) -> None:
    store = metadata.open_store(metadata.wait_for(place))
    with pytest.raises(errors.NotFoundError):
        store.get_artifact_type("NoSuchType")
    kind = metadata_store_pb2.ArtifactType(name="Model", properties={"a": metadata_store_pb2.INT})
    store.put_artifact_type(kind)
    kind.properties["a"] = metadata_store_pb2.STRING
    with pytest.raises(errors.AlreadyExistsError):
        store.put_artifact_type(kind)


def test_many_tasks_may_write_at_the_same_time(place: Metadata) -> None:
    config = metadata.wait_for(place)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            store = metadata.open_store(config)
            for _ in range(5):
                write_and_read(store)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(metadata.open_store(config).get_executions()) == 40


def test_missing_service_is_named_after_waiting() -> None:
    since = time.monotonic()
    with pytest.raises(ServiceUnavailable, match=r"ML Metadata at 127\.0\.0\.1:1 did not answer in 1 s"):
        metadata.wait_for(Metadata(grpc=Grpc(host="127.0.0.1", port=1), wait_seconds=1))
    assert 0.5 < time.monotonic() - since < 20


def test_task_survives_service_restart(tmp_path: Path) -> None:
    database = Metadata(sqlite=str(tmp_path / "m.sqlite"))
    server, port = metadata_service.serve(database, "127.0.0.1", 0)
    store = metadata.open_store(metadata.wait_for(Metadata(grpc=Grpc(host="127.0.0.1", port=port))))
    kind = metadata_store_pb2.ArtifactType(name="Model")
    store.put_artifact_type(kind)
    server.stop(None).wait()
    restarted = []
    timer = threading.Timer(1.0, lambda: restarted.append(metadata_service.serve(database, "127.0.0.1", port)[0]))
    timer.start()
    assert store.get_artifact_type("Model").name == "Model"
    assert store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Other"))
    timer.join()
    restarted[0].stop(None).wait()


def test_possibly_received_write_is_not_repeated(place: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    store = metadata.open_store(metadata.wait_for(place))
    calls = []

    def broken(self: mlmd.MetadataStore, name: str, request: object, response: object) -> None:
        calls.append(name)
        raise errors.UnavailableError("Socket closed")

    monkeypatch.setattr(mlmd.MetadataStore, "_call_method", broken)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(errors.UnavailableError):
        store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Model"))
    assert calls == ["PutArtifactType"]
    with pytest.raises(errors.UnavailableError):
        store.get_artifacts()
    assert len(calls) > 3


def test_closed_database_connection_is_reopened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(metadata.connection(Metadata(sqlite=str(tmp_path / "m.sqlite"))))
    extension, answers = metadata_service.store_extension, [(b"", b"MySQL server has gone away", 13), (b"ok", b"", 0)]
    opened = []
    monkeypatch.setattr(extension, "GetArtifacts", lambda store, request: answers.pop(0), raising=False)
    monkeypatch.setattr(Store, "_open", lambda self: opened.append(1))
    assert store.call("GetArtifacts", b"") == (b"ok", b"", 0)
    assert opened == [1]
