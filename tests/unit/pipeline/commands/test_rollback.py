"""`kindred rollback`: serves the previous version, and records the change in ML Metadata."""

from __future__ import annotations

from pathlib import Path

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx.components.evaluator import constants
from tfx.types import standard_artifacts

from components.latest_blessed.strategy import LatestBlessedOtherModel
from components.pusher.local import LocalVersions
from components.pusher.withdrawals import withdrawn_models
from errors import RollbackError, RootError
from pipeline.commands.rollback import EXECUTION_TYPE, roll_back
from pipeline.records.metadata_backup import back_up
from pipeline.records.root import Root

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """A root with three versions, recorded as the Pusher does."""
    root = Root(tmp_path / "root")
    store = _store(root)
    kind = store.put_artifact_type(metadata_store_pb2.ArtifactType(name="PushedModel"))
    model_kind = store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Model"))
    pusher = store.put_execution_type(metadata_store_pb2.ExecutionType(name="Pusher"))
    for version in (1, 2, 3):
        folder = root.path / "serving" / str(version)
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_text(str(version))
        pushed = metadata_store_pb2.Artifact(type_id=kind, uri=f"pushed/{version}")
        pushed.custom_properties["pushed_destination"].string_value = str(folder)
        model = metadata_store_pb2.Artifact(type_id=model_kind, uri=f"model/{version}")
        store.put_execution(
            metadata_store_pb2.Execution(type_id=pusher),
            [
                (model, _event(metadata_store_pb2.Event.INPUT, "model")),
                (pushed, _event(metadata_store_pb2.Event.OUTPUT, "pushed_model")),
            ],
            [],
        )
    return root


def _event(kind: int, key: str) -> metadata_store_pb2.Event:
    event = metadata_store_pb2.Event(type=kind)
    event.path.steps.add().key = key
    return event


def _versions(root: Root) -> list[str]:
    return sorted(path.name for path in (root.path / "serving").iterdir())


def _withdrawn_models(root: Root) -> list[str]:
    store = _store(root)
    return sorted(model.uri for model in store.get_artifacts_by_id(withdrawn_models(store)))


def _store(root: Root) -> mlmd.MetadataStore:
    root.path.mkdir(exist_ok=True)
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(root.metadata)
    connection.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return mlmd.MetadataStore(connection)


def _recorded(root: Root) -> list[dict]:
    store = _store(root)
    found = []
    for execution in sorted(store.get_executions_by_type(EXECUTION_TYPE), key=lambda execution: execution.id):
        properties = {k: v.int_value or v.string_value for k, v in execution.custom_properties.items()}
        (event,) = store.get_events_by_execution_ids([execution.id])
        (artifact,) = store.get_artifacts_by_id([event.artifact_id])
        found.append({**properties, "input": artifact.uri})
    return found


def test_rollback_is_served_and_recorded(root: Root) -> None:
    message = roll_back(root, "serving", undo=False, reason="stars fell").describe()
    serving = root.path / "serving"
    assert message.startswith(f"version 3 of {serving} is withdrawn and 2 is served")
    assert sorted(path.name for path in serving.iterdir()) == [".withdrawn-3", "1", "2"]
    (record,) = _recorded(root)
    assert (record["version"], record["served"], record["reason"]) == (3, 2, "stars fell")
    assert (record["directory"], record["input"]) == (str(serving), "pushed/3")
    assert record["when"].endswith("+00:00")


def test_undo_is_served_and_recorded(root: Root) -> None:
    roll_back(root, "serving", undo=False, reason="")
    done = roll_back(root, "serving", undo=True, reason="")
    assert done.describe() == f"version 3 of {root.path / 'serving'} is served again"
    assert sorted(path.name for path in (root.path / "serving").iterdir()) == ["1", "2", "3"]
    assert [(record["version"], record["served"], record["undo"]) for record in _recorded(root)] == [
        (3, 2, ""),
        (3, 3, 1),
    ]


def test_chosen_version_is_served(root: Root) -> None:
    message = roll_back(root, "serving", undo=False, reason="spam", version=1).describe()
    assert message.startswith("versions 2, 3 of ") and message.endswith("with --version 3.")
    assert _versions(root) == [".withdrawn-2", ".withdrawn-3", "1"]
    assert [(record["version"], record["served"], record["reason"]) for record in _recorded(root)] == [
        (2, 1, "spam"),
        (3, 1, "spam"),
    ]


def test_served_version_changes_with_the_last_rename(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    served = []
    move = LocalVersions._move

    def watch(self: LocalVersions, name: str, target: str) -> None:
        move(self, name, target)
        served.append(max(self.published()))

    monkeypatch.setattr(LocalVersions, "_move", watch)
    roll_back(root, "serving", undo=False, reason="", version=1)
    roll_back(root, "serving", undo=False, reason="", version=3)
    roll_back(root, "serving", undo=False, reason="", version=2)
    assert served == [3, 1, 3, 3, 2]


def test_withdrawn_version_is_served_again(root: Root) -> None:
    roll_back(root, "serving", undo=False, reason="", version=1)
    done = roll_back(root, "serving", undo=False, reason="", version=3)
    assert done.describe().endswith("is served again")
    assert _versions(root) == [".withdrawn-2", "1", "3"]
    assert _withdrawn_models(root) == ["model/2"]


@pytest.mark.parametrize(
    ("version", "undo", "reason"),
    [
        (3, False, "version 3 is served already"),
        (9, False, r"has no version 9 \(versions: 1, 2, 3\)"),
        (1, True, "exclude"),
    ],
)
def test_impossible_version_is_refused(root: Root, version: int, undo: bool, reason: str) -> None:
    with pytest.raises(RollbackError, match=reason):
        roll_back(root, "serving", undo=undo, reason="", version=version)
    assert _versions(root) == ["1", "2", "3"]


def test_models_of_withdrawn_versions_are_known(root: Root) -> None:
    assert _withdrawn_models(root) == []
    roll_back(root, "serving", undo=False, reason="")
    assert _withdrawn_models(root) == ["model/3"]
    roll_back(root, "serving", undo=False, reason="")
    assert _withdrawn_models(root) == ["model/2", "model/3"]
    roll_back(root, "serving", undo=True, reason="")
    assert _withdrawn_models(root) == ["model/3"]


def test_model_of_withdrawn_version_is_no_baseline(root: Root) -> None:
    roll_back(root, "serving", undo=False, reason="")
    store = _store(root)
    models, blessings = [], []
    for artifact in store.get_artifacts_by_type("Model"):
        model, blessing = standard_artifacts.Model(), standard_artifacts.ModelBlessing()
        model.id, blessing.id = artifact.id, 100 + artifact.id
        blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, model.id)
        blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, 1)
        models.append((artifact.uri, model))
        blessings.append(blessing)
    candidate = standard_artifacts.Model()
    candidate.id = 999
    resolved = LatestBlessedOtherModel().resolve_artifacts(
        store, {"candidate": [candidate], "model": [m for _, m in models], "model_blessing": blessings}
    )
    assert resolved is not None
    assert [model.id for model in resolved["model"]] == [dict(models)["model/2"].id]


def test_single_version_stays(root: Root) -> None:
    for _ in range(2):
        roll_back(root, "serving", undo=False, reason="")
    with pytest.raises(RollbackError, match=r"has one version") as refused:
        roll_back(root, "serving", undo=False, reason="")
    assert refused.value.exit_code == 2
    assert len(_recorded(root)) == 2


def test_root_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RollbackError, match="contains no run"):
        roll_back(Root(tmp_path / "none"), "serving", undo=False, reason="")
    assert list(tmp_path.iterdir()) == []


def test_locked_root_is_refused(root: Root) -> None:
    with root.locked(), pytest.raises(RootError, match="another run is using it"):
        roll_back(root, "serving", undo=False, reason="")
    assert (root.path / "serving" / "3").is_dir()


def test_copy_replaces_an_emptied_database(root: Root) -> None:
    back_up(root.metadata)
    root.metadata.write_bytes(b"")
    message = roll_back(root, "serving", undo=False, reason="stars fell").describe()
    assert message.startswith(f"{root.metadata} was empty. The copy of ")
    assert "version 3 of" in message
    assert [record["version"] for record in _recorded(root)] == [3]


@pytest.mark.parametrize("content", [b"", b"x" * 9999])
def test_nothing_is_withdrawn_without_a_record(root: Root, content: bytes) -> None:
    root.metadata.write_bytes(content)
    for _ in range(2):
        with pytest.raises((RollbackError, RootError)):
            roll_back(root, "serving", undo=False, reason="")
    assert sorted(path.name for path in (root.path / "serving").iterdir()) == ["1", "2", "3"]


def test_failed_change_is_recorded_as_failed(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: LocalVersions, version: int) -> None:
        raise PermissionError("no")

    monkeypatch.setattr(LocalVersions, "withdraw", refuse)
    with pytest.raises(PermissionError):
        roll_back(root, "serving", undo=False, reason="")
    (execution,) = _store(root).get_executions_by_type(EXECUTION_TYPE)
    assert execution.last_known_state == metadata_store_pb2.Execution.FAILED
