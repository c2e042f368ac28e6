"""Lists of all entities in a root in an object store: they appear whole, and `current` names those that are served."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.batch_lists.folder import MANIFEST, Manifest, digests_of
from components.batch_lists.stored import StoredLists, open_lists
from errors import StoreError
from tests.object_store import Bucket, FaultyProxy


def _made(folder: Path, version: int, text: str, key: str = "key") -> Path:
    (folder / "right").mkdir(parents=True)
    (folder / "right" / "00000-of-00001.csv").write_text(text)
    Manifest(key, version, "films", {}, {"right": {"queries": 1, "rows": 1}}, digests_of(folder)).write(folder)
    return folder


@pytest.fixture
def lists(bucket: Bucket, proxy: FaultyProxy) -> StoredLists:
    opened = open_lists(f"{bucket.url}/films/lists")
    assert isinstance(opened, StoredLists)
    return opened


def test_lists_of_the_same_key_come_back_until_a_file_changes(
    lists: StoredLists, bucket: Bucket, tmp_path: Path
) -> None:
    lists.publish(3, _made(tmp_path / "made", 3, "planted"))
    (tmp_path / "target").mkdir()
    assert not lists.reuse(3, "other", tmp_path / "target")
    assert not lists.reuse(4, "key", tmp_path / "target")
    assert lists.reuse(3, "key", tmp_path / "target")
    assert (tmp_path / "target" / "right" / "00000-of-00001.csv").read_text() == "planted"
    assert (tmp_path / "target" / MANIFEST).read_bytes() == (tmp_path / "made" / MANIFEST).read_bytes()
    bucket.put("films/lists/3/right/00000-of-00001.csv", "changed")
    (tmp_path / "empty").mkdir()
    assert not lists.reuse(3, "key", tmp_path / "empty")
    assert not list((tmp_path / "empty").iterdir())


def test_manifest_is_written_last_and_deleted_first(
    lists: StoredLists, bucket: Bucket, proxy: FaultyProxy, tmp_path: Path
) -> None:
    lists.publish(3, _made(tmp_path / "old", 3, "old"))
    proxy.refuse = lambda request: request.startswith(b"P") and b"lists/3/right" in request.split(b"\r\n")[0]
    with pytest.raises(StoreError, match="the store refuses access"):
        lists.publish(3, _made(tmp_path / "new", 3, "new"))
    assert lists.versions() == [], "neither the old lists nor a part of the new ones"
    proxy.refuse = lambda request: False
    lists.publish(3, tmp_path / "new")
    assert lists.versions() == [3]
    assert bucket.get("films/lists/3/right/00000-of-00001.csv") == b"new"


def test_current_names_lists_of_the_served_version_or_nothing(
    lists: StoredLists, bucket: Bucket, tmp_path: Path
) -> None:
    for version in (2, 3):
        lists.publish(version, _made(tmp_path / str(version), version, "x"))
        lists.point(version)
        assert bucket.get("films/lists/current") == f"{version}\n".encode()
    lists.point(2)
    assert bucket.get("films/lists/current") == b"2\n"
    lists.point(1)
    assert "films/lists/current" not in bucket.keys("films/lists")


def test_only_own_old_lists_are_retired(lists: StoredLists, bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("films/lists/1/of-others", "x")
    for version in (2, 9, 10):
        lists.publish(version, _made(tmp_path / str(version), version, "x"))
    lists.retire(2)
    assert lists.versions() == [9, 10]
    assert bucket.get("films/lists/1/of-others") == b"x"
    assert not [key for key in bucket.keys("films/lists/2/") if not key.endswith("/")]
