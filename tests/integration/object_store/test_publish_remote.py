"""Publishing to an object store, on a real S3 server, with faults on the way.

Neither PyArrow 18.1 nor all stores have conditional writes, so publishers use claims. They need only that a listing has
what was written before, which S3, Google Cloud Storage, Azure, moto and versitygw 1.8.0 grant.
"""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.pusher.destination import open_versions
from components.pusher.local import LocalVersions
from components.pusher.remote import RemoteVersions
from errors import ConfigError, ModelDamaged, StoreError, StoreUnavailable
from tests.object_store import Bucket, FaultyProxy, cut, error
from tests.unit.components.rollbacks import restore, withdraw


@pytest.fixture
def directory(bucket: Bucket, proxy: FaultyProxy) -> str:
    return f"{bucket.url}/models"


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


def _files(bucket: Bucket, folder: str = "") -> dict[str, bytes]:
    beginning = f"models/{folder}"
    return {key.removeprefix(beginning): bucket.get(key) for key in bucket.keys(beginning) if not key.endswith("/")}


def _names(bucket: Bucket) -> set[str]:
    """Returns the names directly below `models`, as a model server lists them."""
    return {key.split("/")[1] for key in bucket.keys("models/")} - {""}


def test_scheme_selects_implementation(directory: str) -> None:
    assert [type(open_versions(where)) for where in (directory, "/models")] == [RemoteVersions, LocalVersions]
    assert open_versions(directory).directory == directory


def test_other_scheme_is_refused() -> None:
    with pytest.raises(ConfigError, match="hdfs://h/models: must be a directory, or a URL"):
        open_versions("hdfs://h/models")


def test_versions_count_up(model: Path, versions: RemoteVersions, bucket: Bucket) -> None:
    assert versions.published() == []
    assert [versions.publish(str(model)) for _ in range(2)] == [1, 2]
    found = _files(bucket, "2/")
    assert found.pop("assets.extra/manifest.json")
    assert found == {str(p.relative_to(model)): p.read_bytes() for p in model.rglob("*") if p.is_file()}
    assert versions.published() == [1, 2]
    assert _names(bucket) == {"1", "2"}


def test_card_is_published(model: Path, versions: RemoteVersions, bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "card.md").write_text("# a model")
    assert versions.publish(str(model), str(tmp_path / "card.md")) == 1
    assert _files(bucket, "1/")["assets.extra/model_card.md"] == b"# a model"
    assert versions.newest_if_same(str(model)) == 1


def _writes(proxy: FaultyProxy) -> list[str]:
    """Returns the keys below `models` of all objects that requests created, in order."""
    made = [line.split() for line in proxy.requests if line.startswith(("PUT", "POST"))]
    keys = [words[1].split("?")[0].partition("/models/")[2] for words in made if "uploads" not in words[1]]
    return [key for key in keys if key]


def test_graph_is_copied_last(model: Path, versions: RemoteVersions, proxy: FaultyProxy) -> None:
    versions.publish(str(model))
    below = [key for key in dict.fromkeys(_writes(proxy)) if not key.startswith(".")]
    assert (below[0], below[-1]) == ("1/assets.extra/manifest.json", "1/saved_model.pb")
    assert set(below[1:-1]) == {"1/variables/variables.index", "1/assets/left"}


@pytest.mark.parametrize("keys", ["/.staging", "/models/1/variables", "/models/1/saved_model.pb"])
def test_interrupted_publication_makes_no_version(
    model: Path, versions: RemoteVersions, bucket: Bucket, proxy: FaultyProxy, keys: str
) -> None:
    """A store that refuses some writes. A TensorFlow Serving loads what has a graph, so it loads nothing."""
    proxy.refuse = lambda request: _is_write_of(request, keys)
    with pytest.raises(StoreError, match="refuses access"):
        versions.publish(str(model))
    assert versions.published() == []
    assert not [key for key in bucket.keys("models/1") if key.endswith("saved_model.pb")]
    proxy.refuse = lambda request: False
    number = 2 if "/1/" in keys else 1
    assert versions.publish(str(model)) == number
    assert (versions.published(), versions.foreign()) == ([number], [])


def _is_write_of(request: bytes, keys: str) -> bool:
    method, path, _ = request.split(b"\r\n")[0].decode().split()
    return method in ("PUT", "POST") and keys in path


def test_version_whose_last_answer_is_lost_is_recognized(
    model: Path, versions: RemoteVersions, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.faults._FIRST_PAUSE", 0.01)
    proxy.fault = lambda request, answer: cut(answer) if _is_write_of(request, "/models/1/saved_model.pb") else None
    with pytest.raises(StoreUnavailable, match="failed 3 times"):
        versions.publish(str(model))
    assert versions.newest_if_same(str(model)) == 1


def test_publication_survives_faults(model: Path, versions: RemoteVersions, bucket: Bucket, proxy: FaultyProxy) -> None:
    counts = itertools.count()
    faults = [cut, error(503, "SlowDown"), error(500, "InternalError")]
    # Answers are lost after the store has acted, which is the worst time.
    proxy.fault = lambda request, answer: faults[n // 6 % 3](answer) if (n := next(counts)) % 6 == 5 else None
    assert versions.publish(str(model)) == 1
    proxy.fault = lambda request, answer: None
    assert versions.newest_if_same(str(model)) == 1
    found = _files(bucket, "1/")
    assert found.pop("assets.extra/manifest.json")
    assert found == {str(p.relative_to(model)): p.read_bytes() for p in model.rglob("*") if p.is_file()}


def test_old_remains_are_swept(
    model: Path, versions: RemoteVersions, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions.publish(str(model))
    bucket.put("models/2/assets.extra/manifest.json", bucket.get("models/1/assets.extra/manifest.json"))
    for key in (".staging-x/assets/left", ".claim-3-x", "4/of-others", ".withdrawn-1/saved_model.pb"):
        bucket.put(f"models/{key}", b"x")
    kept = bucket.keys()
    versions._sweep()
    assert bucket.keys() == kept
    now = time.time_ns()
    monkeypatch.setattr("components.pusher.remote.time.time_ns", lambda: now + 25 * 3600 * 10**9)
    versions._sweep()
    assert _names(bucket) == {"1", "4", ".withdrawn-1"}


def test_interrupted_withdrawal_did_not_happen(model: Path, versions: RemoteVersions, bucket: Bucket) -> None:
    for _ in range(2):
        _change(model)
        versions.publish(str(model))
    for key in bucket.keys("models/2/"):
        bucket.put(key.replace("models/2/", "models/.withdrawn-2/"), bucket.get(key))
    assert (versions.published(), versions.withdrawn()) == ([1, 2], [])
    with pytest.raises(LookupError, match="no withdrawn version"):
        restore(versions)
    assert withdraw(versions) == (2, 1)
    assert restore(versions) == (2, 1)


def test_concurrent_publishers_get_different_versions(model: Path, versions: RemoteVersions) -> None:
    start = threading.Barrier(3)

    def publish_one(_: int) -> int:
        start.wait()
        return versions.publish(str(model))

    with ThreadPoolExecutor(3) as pool:
        numbers = sorted(pool.map(publish_one, range(3)))
    # A number that two of them give up at the same time stays free.
    assert len(set(numbers)) == 3 and versions.published() == numbers


def test_same_model_is_recognized(model: Path, versions: RemoteVersions) -> None:
    assert versions.newest_if_same(str(model)) is None
    versions.publish(str(model))
    assert versions.newest_if_same(str(model)) == 1
    _change(model)
    assert versions.newest_if_same(str(model)) is None


@pytest.mark.parametrize("file", ["assets/left", "saved_model.pb"])
def test_changed_object_is_damage(
    model: Path, versions: RemoteVersions, bucket: Bucket, proxy: FaultyProxy, file: str
) -> None:
    versions.publish(str(model))
    proxy.requests.clear()
    assert versions.damage(1) is None
    assert not [line for line in proxy.requests if line.startswith("GET") and "assets/left" in line], "a large file"
    time.sleep(1.1)  # stores round times to seconds
    bucket.put(f"models/1/{file}", file.upper())
    assert versions.damage(1) == file
    assert versions.damage(1, thorough=True) == file
    assert versions.newest_if_same(str(model)) is None


def test_only_a_thorough_check_finds_a_change_with_an_old_time(
    model: Path, versions: RemoteVersions, bucket: Bucket
) -> None:
    versions.publish(str(model))
    bucket.put("models/1/assets/left", "ASSETS/LEFT")
    graph = bucket.get("models/1/saved_model.pb")
    time.sleep(1.1)
    bucket.put("models/1/saved_model.pb", graph)
    assert (versions.damage(1), versions.damage(1, thorough=True)) == (None, "assets/left")


def test_missing_file_is_damage(model: Path, versions: RemoteVersions, bucket: Bucket) -> None:
    versions.publish(str(model))
    assert versions.damage(1) is None
    bucket.delete("models/1/assets/left")
    assert versions.damage(1) == "assets/left"
    assert versions.newest_if_same(str(model)) is None


def test_local_copy_of_a_version_is_verified(model: Path, versions: RemoteVersions, bucket: Bucket) -> None:
    versions.publish(str(model))
    with versions.local(1) as folder:
        assert Path(folder, "assets", "left").read_bytes() == b"assets/left"
    assert not Path(folder).exists()
    bucket.put("models/1/assets/left", b"assets/lefT")
    with pytest.raises(ModelDamaged, match=r"models/1/assets/left is missing or changed"), versions.local(1):
        pass


def test_withdrawing_and_restoring(model: Path, versions: RemoteVersions, bucket: Bucket) -> None:
    for _ in range(2):
        _change(model)
        versions.publish(str(model))
    before = _files(bucket, "2/")
    assert withdraw(versions) == (2, 1)
    assert (versions.published(), versions.withdrawn()) == ([1], [2])
    assert versions.withdrawn_if_same(str(model)) == 2
    with pytest.raises(LookupError, match="no earlier version"):
        withdraw(versions)
    assert restore(versions) == (2, 1)
    assert _files(bucket, "2/") == before
    with pytest.raises(LookupError, match="no withdrawn version"):
        restore(versions)
    withdraw(versions)
    assert versions.publish(str(model)) == 3
    with pytest.raises(LookupError, match="was published after 2 was withdrawn"):
        restore(versions)


def test_retention_keeps_newest_versions(model: Path, versions: RemoteVersions, bucket: Bucket) -> None:
    for _ in range(4):
        versions.publish(str(model))
    versions.retire(2)
    assert versions.published() == [3, 4]
    assert _names(bucket) == {"3", "4"}


def test_only_own_versions_are_retired(model: Path, directory: str) -> None:
    RemoteVersions(directory, "others").publish(str(model))
    versions = RemoteVersions(directory, "films")
    assert [versions.publish(str(model)) for _ in range(2)] == [2, 3]
    assert versions.foreign() == ["1"]
    versions.retire(1)
    assert versions.published() == [1, 3]
