"""Publishing behind a URL, on TensorFlow's in-memory file system."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tensorflow as tf

from components.pusher import remote
from components.pusher.destination import open_versions
from components.pusher.local import LocalVersions
from components.pusher.remote import RemoteVersions
from tests.unit.components.rollbacks import restore, withdraw

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def directory() -> str:
    return f"ram://{uuid.uuid4().hex}/models"


@pytest.fixture
def versions(directory: str) -> RemoteVersions:
    return RemoteVersions(directory)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for name in ("saved_model.pb", "variables/variables.index", "assets/left"):
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "model"


def _change(model: Path) -> None:
    (model / "assets" / "left").write_bytes(uuid.uuid4().bytes)


def _files(folder: str) -> dict[str, bytes]:
    return {name: tf.io.gfile.GFile(f"{folder}/{name}", "rb").read() for name in remote.files_below(folder)}


def test_scheme_selects_implementation(directory: str) -> None:
    assert [type(open_versions(where)) for where in (directory, "/models")] == [RemoteVersions, LocalVersions]
    assert open_versions(directory).directory == directory


def test_versions_count_up(model: Path, versions: RemoteVersions, directory: str) -> None:
    assert versions.published() == []
    assert [versions.publish(str(model)) for _ in range(2)] == [1, 2]
    found = _files(f"{directory}/2")
    assert found.pop("assets.extra/manifest.json")
    assert found == {str(p.relative_to(model)): p.read_bytes() for p in model.rglob("*") if p.is_file()}
    assert versions.published() == [1, 2]
    assert not [name for name in tf.io.gfile.listdir(directory) if name.startswith(".claim")]


def test_card_is_published(model: Path, versions: RemoteVersions, directory: str, tmp_path: Path) -> None:
    (tmp_path / "card.md").write_text("# a model")
    assert versions.publish(str(model), str(tmp_path / "card.md")) == 1
    assert _files(f"{directory}/1")["assets.extra/model_card.md"] == b"# a model"
    assert versions.newest_if_same(str(model)) == 1


def test_graph_is_copied_last(model: Path, versions: RemoteVersions, monkeypatch: pytest.MonkeyPatch) -> None:
    copy, seen = remote._copy, []

    def watched(source: str, target: str) -> None:
        copy(source, target)
        seen.append((Path(source).name, versions.published()))

    monkeypatch.setattr(remote, "_copy", watched)
    versions.publish(str(model))
    assert [name for name, _ in seen][-1] == "saved_model.pb"
    assert [versions for _, versions in seen] == [[], [], [1]]


def test_interrupted_copy_reserves_its_number(
    model: Path, versions: RemoteVersions, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = remote._copy

    def interrupted(source: str, target: str) -> None:
        if source.endswith("variables.index"):
            raise OSError("no network")
        copy(source, target)

    monkeypatch.setattr(remote, "_copy", interrupted)
    with pytest.raises(OSError, match="no network"):
        versions.publish(str(model))
    assert versions.published() == []
    monkeypatch.setattr(remote, "_copy", copy)
    assert versions.publish(str(model)) == 2
    assert versions.published() == [2]


def test_concurrent_publishers_get_different_versions(model: Path, versions: RemoteVersions) -> None:
    start = threading.Barrier(3)

    def publish_one(_: int) -> int:
        start.wait()
        return versions.publish(str(model))

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(publish_one, range(3))) == [1, 2, 3]


def test_same_model_is_recognized(model: Path, versions: RemoteVersions) -> None:
    assert versions.newest_if_same(str(model)) is None
    versions.publish(str(model))
    assert versions.newest_if_same(str(model)) == 1
    _change(model)
    assert versions.newest_if_same(str(model)) is None


def test_withdrawing_and_restoring(model: Path, versions: RemoteVersions, directory: str) -> None:
    for _ in range(2):
        _change(model)
        versions.publish(str(model))
    before = _files(f"{directory}/2")
    assert withdraw(versions) == (2, 1)
    assert (versions.published(), versions.withdrawn()) == ([1], [2])
    assert versions.withdrawn_if_same(str(model)) == 2
    with pytest.raises(LookupError, match="no earlier version"):
        withdraw(versions)
    assert restore(versions) == (2, 1)
    assert _files(f"{directory}/2") == before
    with pytest.raises(LookupError, match="no withdrawn version"):
        restore(versions)
    withdraw(versions)
    assert versions.publish(str(model)) == 3
    with pytest.raises(LookupError, match="was published after 2 was withdrawn"):
        restore(versions)


def test_retention_keeps_newest_versions(model: Path, versions: RemoteVersions, directory: str) -> None:
    for _ in range(4):
        versions.publish(str(model))
    versions.retire(2)
    assert versions.published() == [3, 4]
    assert sorted(name.rstrip("/") for name in tf.io.gfile.listdir(directory)) == ["3", "4"]


def test_only_own_versions_are_retired(model: Path, directory: str) -> None:
    RemoteVersions(directory, "others").publish(str(model))
    versions = RemoteVersions(directory, "films")
    assert [versions.publish(str(model)) for _ in range(2)] == [2, 3]
    assert versions.foreign() == ["1"]
    versions.retire(1)
    assert versions.published() == [1, 3]
