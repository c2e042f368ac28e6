"""ML Metadata of a root in a store: URLs in the service, paths here."""

from __future__ import annotations

from pathlib import Path

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2

from pipeline.config.sections.kubeflow import Metadata
from pipeline.kubeflow.metadata import PatientStore, connection
from pipeline.kubeflow.stored_metadata import StoredRootMetadata

pytestmark = pytest.mark.tensorflow
URL = "s3://bucket/films"
Artifact, Event, Execution = metadata_store_pb2.Artifact, metadata_store_pb2.Event, metadata_store_pb2.Execution


class Pods:
    """Pods with their own disks, and the service, which is a file here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._connection = connection(Metadata(sqlite=str(folder / "m.sqlite")))
        self.service = PatientStore(self._connection)

    def pod(self, name: str) -> mlmd.MetadataStore:
        return StoredRootMetadata(self._connection, self.folder / name, URL)


@pytest.fixture
def pods(tmp_path: Path) -> Pods:
    return Pods(tmp_path)


def write(store: mlmd.MetadataStore, folder: Path) -> tuple[Artifact, Execution]:
    """Writes an execution with one output, as TFX does. Returns what the caller keeps."""
    artifact = Artifact(
        type_id=store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Model")),
        uri=str(folder / "pipeline" / "Trainer" / "model" / "7"),
        state=Artifact.LIVE,
    )
    artifact.custom_properties["from"].string_value = str(folder / "pipeline" / "Transform" / "graph" / "6")
    artifact.custom_properties["pushed"].string_value = f"{URL}/serving/1"
    artifact.custom_properties["rows"].int_value = 5
    execution = Execution(type_id=store.put_execution_type(metadata_store_pb2.ExecutionType(name="Train")))
    execution.custom_properties["settings"].string_value = f'{{"copies": "{folder}/inputs"}}'
    execution.id, (artifact.id,), _ = store.put_execution(execution, [(artifact, Event(type=Event.OUTPUT))], [])
    return artifact, execution


def test_service_has_urls_and_each_pod_its_paths(pods: Pods) -> None:
    one = pods.folder / "one"
    kept, _ = write(pods.pod("one"), one)
    assert kept.uri == str(one / "pipeline/Trainer/model/7"), "the caller's artifact stays as it is"
    (stored,) = pods.service.get_artifacts()
    assert stored.uri == f"{URL}/pipeline/Trainer/model/7"
    assert stored.custom_properties["from"].string_value == f"{URL}/pipeline/Transform/graph/6"
    assert str(pods.folder) not in str([stored, *pods.service.get_executions()])
    (found,) = pods.pod("two").get_artifacts_by_type("Model")
    two = pods.folder / "two" / "pipeline"
    assert found.uri == str(two / "Trainer/model/7")
    assert found.custom_properties["from"].string_value == str(two / "Transform/graph/6")
    assert found.custom_properties["pushed"].string_value == f"{URL}/serving/1", "a published version is no artifact"
    assert found.custom_properties["rows"].int_value == 5
    assert list(Path(found.uri).iterdir()) == [], "TFX's cache finds only artifacts with a folder"


def test_changes_of_what_was_read_are_written_as_urls(pods: Pods) -> None:
    write(pods.pod("one"), pods.folder / "one")
    two = pods.pod("two")
    (found,) = two.get_artifacts()
    found.state = Artifact.DELETED
    two.put_artifacts([found])
    (stored,) = pods.service.get_artifacts()
    assert (stored.uri, stored.state) == (f"{URL}/pipeline/Trainer/model/7", Artifact.DELETED)
    assert [a.id for a in two.get_artifacts_by_uri(str(pods.folder / "two/pipeline/Trainer/model/7"))] == [stored.id]
