"""A version appears only when complete, whatever other readers, publishers and interruptions do."""

from __future__ import annotations

import json
import os
import shutil
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.pusher.destination import refuse_foreign
from components.pusher.local import LocalVersions
from errors import ConfigError
from kindred.manifest import CARD, MANIFEST, Manifest, model_digests, read_manifest, write_manifest
from tests.unit.components.rollbacks import restore, withdraw


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Creates a fake SavedModel. Copies `saved_model.pb` first, in sort order or in the given order."""
    folder = tmp_path / "model"
    for name, size in (
        ("saved_model.pb", 10),
        ("variables/variables.index", 50),
        ("assets/left", 3),
        ("assets/a b", 0),
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(range(size)))
    return folder


@pytest.fixture
def serving(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "serving"


@pytest.fixture
def versions(serving: Path) -> LocalVersions:
    return LocalVersions(str(serving))


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_versions_count_up(model: Path, versions: LocalVersions, serving: Path) -> None:
    assert [versions.publish(str(model)) for _ in range(3)] == [1, 2, 3]
    for version in ("1", "2", "3"):
        published = _files(serving / version)
        del published[MANIFEST]
        assert published == _files(model)
    assert sorted(os.listdir(serving)) == ["1", "2", "3"]


def test_card_is_outside_model_identity(model: Path, versions: LocalVersions, serving: Path, tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    card.write_text("# a model")
    assert versions.publish(str(model), str(card)) == 1
    published = serving / "1" / CARD
    assert published.read_text() == "# a model"
    assert CARD not in read_manifest(str(serving / "1")).files
    published.write_text("# the same model, of which more is known")
    assert versions.newest_if_same(str(model)) == 1


def test_next_version_ignores_other_entries(model: Path, versions: LocalVersions, serving: Path) -> None:
    for name in ("9", "10", "2", "readme", "11.old", "-12", ".staging-99", "1e3"):
        (serving / name).mkdir(parents=True)
    assert versions.published() == [2, 9, 10]
    assert versions.publish(str(model)) == 11


def test_missing_directory_has_no_versions(tmp_path: Path) -> None:
    assert LocalVersions(str(tmp_path / "none")).published() == []


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_published_files_are_world_readable(model: Path, versions: LocalVersions, serving: Path, umask: int) -> None:
    card = model.parent / "card.md"
    before = os.umask(umask)
    try:
        card.write_text("# a model")
        versions.publish(str(model), str(card))
    finally:
        os.umask(before)
    assert stat.S_IMODE(serving.stat().st_mode) == 0o755
    for folder, _, names in os.walk(serving / "1"):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o755
        assert {stat.S_IMODE(os.stat(Path(folder, name)).st_mode) for name in names} <= {0o644}


def test_group_may_remove_published_versions(model: Path, versions: LocalVersions, serving: Path) -> None:
    for folder, _, _ in os.walk(model):
        os.chmod(folder, 0o755)  # TensorFlow ignores the umask
    before = os.umask(0o002)
    try:
        versions.publish(str(model))
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(os.stat(folder).st_mode) for folder, _, _ in os.walk(serving)}
    assert modes == {0o775}


def test_poll_sees_complete_versions_only(model: Path, versions: LocalVersions, serving: Path) -> None:
    serving.mkdir(parents=True)
    complete = {*_files(model), MANIFEST}
    done = threading.Event()
    faults: list[tuple[str, set[str]]] = []
    polls = 0

    def poll() -> None:
        nonlocal polls
        while not done.is_set():
            polls += 1
            for name in os.listdir(serving):
                if name.isdecimal():
                    missing = {file for file in complete if not (serving / name / file).is_file()}
                    if missing:
                        faults.append((name, missing))

    poller = threading.Thread(target=poll)
    poller.start()
    try:
        for _ in range(60):
            versions.publish(str(model))
    finally:
        done.set()
        poller.join()
    assert faults == []
    assert polls > 10
    assert versions.published() == list(range(1, 61))


def test_concurrent_publishers_get_different_versions(model: Path, versions: LocalVersions, serving: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        given_out = list(pool.map(lambda _: versions.publish(str(model)), range(24)))
    assert sorted(given_out) == list(range(1, 25))
    assert all(versions.newest_if_same(str(model)) == 24 for _ in range(1))
    assert all(_files(serving / str(version)).keys() > _files(model).keys() for version in given_out)


def test_slower_publisher_takes_next_number(
    model: Path, versions: LocalVersions, serving: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another publisher's version appears between listing the directory and the rename."""
    rename = os.rename

    def overtaken(source: str, target: str) -> None:
        monkeypatch.setattr(os, "rename", rename)
        shutil.copytree(model, target)
        rename(source, target)

    monkeypatch.setattr(os, "rename", overtaken)
    assert versions.publish(str(model)) == 2
    assert versions.published() == [1, 2]
    assert not (serving / "1" / MANIFEST).exists()


@pytest.mark.parametrize("interruption", [OSError("disk full"), KeyboardInterrupt()])
def test_interrupted_copy_leaves_no_files(
    model: Path, versions: LocalVersions, serving: Path, monkeypatch: pytest.MonkeyPatch, interruption: BaseException
) -> None:
    versions.publish(str(model))
    copy, copied = shutil.copyfile, []

    def interrupted(source: str, target: str, **options: bool) -> str:
        if len(copied) == 2:
            raise interruption
        copied.append(source)
        return copy(source, target, **options)

    monkeypatch.setattr(shutil, "copyfile", interrupted)
    with pytest.raises(type(interruption)) as raised:
        versions.publish(str(model))
    assert len(copied) == 2
    assert raised.value is interruption or "disk full" in str(raised.value)
    assert os.listdir(serving) == ["1"]


def test_failed_rename_raises_and_cleans_up(
    model: Path, versions: LocalVersions, serving: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: str, target: str) -> None:
        raise PermissionError("no")

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(PermissionError):
        versions.publish(str(model))
    assert os.listdir(serving) == []


@given(numbers=st.sets(st.integers(1, 1000), max_size=8), keep=st.integers(1, 9))
def test_retention_keeps_newest_versions(
    tmp_path_factory: pytest.TempPathFactory, numbers: set[int], keep: int
) -> None:
    serving = tmp_path_factory.mktemp("serving")
    for number in numbers:
        (serving / str(number)).mkdir()
        write_manifest(str(serving / str(number)), Manifest({}))
    (serving / "notes").mkdir()
    LocalVersions(str(serving)).retire(keep)
    assert set(os.listdir(serving)) == {"notes", *(str(number) for number in sorted(numbers)[-keep:])}


def test_concurrent_retention_succeeds(model: Path, versions: LocalVersions, serving: Path) -> None:
    for _ in range(30):
        versions.publish(str(model))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: versions.retire(2), range(4)))
    assert sorted(os.listdir(serving)) == ["29", "30"]


def test_already_retired_version_is_ignored(
    model: Path, versions: LocalVersions, serving: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        versions.publish(str(model))
    monkeypatch.setattr(versions, "published", lambda: [0, 1, 2, 3])  # 0 is already gone
    versions.retire(1)
    assert os.listdir(serving) == ["3"]


def test_same_model_requires_identical_files(model: Path, versions: LocalVersions, serving: Path) -> None:
    assert versions.newest_if_same(str(model)) is None
    versions.publish(str(model))
    assert versions.newest_if_same(str(model)) == 1
    assert versions.newest_if_same(str(serving / "1")) == 1  # the manifest is not part of a model

    changed = model / "assets" / "left"
    changed.write_bytes(b"xyz")
    assert versions.newest_if_same(str(model)) is None
    versions.publish(str(model))
    assert versions.newest_if_same(str(model)) == 2
    changed.rename(changed.with_name("moved"))
    assert versions.newest_if_same(str(model)) is None


def test_older_identical_version_is_ignored(model: Path, versions: LocalVersions) -> None:
    versions.publish(str(model))
    (model / "assets" / "left").write_bytes(b"xyz")
    versions.publish(str(model))
    (model / "assets" / "left").write_bytes(bytes(range(3)))
    assert versions.newest_if_same(str(model)) is None


@pytest.mark.parametrize("damage", ["{", "", None])
def test_unreadable_manifest_is_not_same(
    model: Path, versions: LocalVersions, serving: Path, damage: str | None
) -> None:
    versions.publish(str(model))
    manifest = serving / "1" / MANIFEST
    manifest.unlink() if damage is None else manifest.write_text(damage)
    assert versions.newest_if_same(str(model)) is None


def test_digests_match_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "abc").write_bytes(b"abc")
    (tmp_path / "empty").touch()
    assert model_digests(str(tmp_path)) == {
        "empty": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sub/abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    }


def test_corrupt_copy_is_not_published(
    model: Path, versions: LocalVersions, serving: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copyfile

    def rotten(source: str, target: str, **options: bool) -> str:
        copied = copy(source, target, **options)
        if Path(target).name == "variables.index":
            Path(target).write_bytes(b"rotten")
        return copied

    monkeypatch.setattr(shutil, "copyfile", rotten)
    with pytest.raises(OSError, match=r"variables/variables.index differs from its source"):
        versions.publish(str(model))
    assert os.listdir(serving) == []


def test_sweep_keeps_active_staging_folders(model: Path, versions: LocalVersions, serving: Path) -> None:
    old, young = serving / ".staging-old", serving / ".staging-young"
    for folder in (old, young):
        (folder / "variables").mkdir(parents=True)
    hours_ago = time.time() - 7200
    for folder in (old / "variables", old, young):
        os.utime(folder, (hours_ago, hours_ago))
    versions.publish(str(model))
    assert sorted(os.listdir(serving)) == [".staging-young", "1"]


def test_withdrawn_version_can_be_restored(model: Path, versions: LocalVersions) -> None:
    for size in (3, 4, 5):
        (model / "assets" / "left").write_bytes(bytes(range(size)))
        versions.publish(str(model))
    assert withdraw(versions) == (3, 2)
    assert versions.published() == [1, 2]
    assert versions.withdrawn_if_same(str(model)) == 3
    assert withdraw(versions) == (2, 1)
    assert versions.withdrawn() == [2, 3]
    with pytest.raises(LookupError, match=r"has one version[.] There is no earlier version"):
        withdraw(versions)
    assert restore(versions) == (2, 1)
    assert restore(versions) == (3, 2)
    with pytest.raises(LookupError, match="has no withdrawn version"):
        restore(versions)
    assert versions.newest_if_same(str(model)) == 3


def test_withdrawn_number_is_not_reused(model: Path, versions: LocalVersions) -> None:
    for _ in range(3):
        versions.publish(str(model))
    withdraw(versions)
    assert versions.publish(str(model)) == 4
    with pytest.raises(LookupError, match="version 4 was published after 3 was withdrawn"):
        restore(versions)
    assert versions.published() == [1, 2, 4]


def test_old_withdrawn_versions_are_retired(model: Path, versions: LocalVersions, serving: Path) -> None:
    for _ in range(3):
        versions.publish(str(model))
    withdraw(versions)
    for _ in range(3):
        versions.publish(str(model))
    versions.retire(4)
    assert sorted(os.listdir(serving)) == [".withdrawn-3", "2", "4", "5", "6"]
    versions.retire(3)
    assert sorted(os.listdir(serving)) == ["4", "5", "6"]


def test_only_own_versions_are_retired(model: Path, serving: Path) -> None:
    """Photos by year, a version of another pipeline, one of an older release, and a file named like a version."""
    for year in ("2015", "2016"):
        (serving / year).mkdir(parents=True)
        (serving / year / "a.jpg").write_bytes(b"photo")
    (serving / "2017").write_text("a file")
    LocalVersions(str(serving), "others").publish(str(model))
    versions = LocalVersions(str(serving), "films")
    assert versions.publish(str(model)) == 2019
    (serving / "2019" / MANIFEST).write_text(json.dumps(model_digests(str(model))))  # as older releases wrote it
    assert versions.newest_if_same(str(model)) == 2019
    assert [versions.publish(str(model)) for _ in range(2)] == [2020, 2021]
    assert versions.foreign() == ["2015", "2016", "2017", "2018"]
    versions.retire(1)
    assert sorted(os.listdir(serving)) == ["2015", "2016", "2017", "2018", "2021"]
    assert (serving / "2015" / "a.jpg").read_bytes() == b"photo"


def test_destination_of_others_is_refused(model: Path, serving: Path) -> None:
    versions = LocalVersions(str(serving), "films")
    versions.publish(str(model))
    refuse_foreign(versions, "films")
    with pytest.raises(ConfigError, match="has the folder 1, without a manifest of the pipeline words"):
        refuse_foreign(LocalVersions(str(serving), "words"), "words")
    (serving / "2015").mkdir()
    (serving / "2016").mkdir()
    with pytest.raises(ConfigError, match="2015 and 1 more, without a manifest of the pipeline films"):
        refuse_foreign(versions, "films")
