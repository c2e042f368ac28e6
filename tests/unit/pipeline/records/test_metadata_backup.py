"""A database that was damaged between two runs is replaced by the copy of the last run."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from errors import RootError
from pipeline.records import metadata_backup
from pipeline.records.metadata_backup import back_up, backup_of, is_sound, restore_if_damaged


@pytest.fixture(params=["metadata.sqlite", "a b?#%.sqlite"])
def file(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A database with the tables that are looked for and many rows."""
    file = tmp_path / request.param
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE Artifact (id INTEGER, uri TEXT)")
        database.execute("CREATE TABLE Execution (id INTEGER PRIMARY KEY AUTOINCREMENT)")
        database.execute("INSERT INTO Execution VALUES (16)")
        database.executemany("INSERT INTO Artifact VALUES (?, ?)", [(i, f"uri {i}" * 20) for i in range(500)])
        database.commit()
    return file


def rows(file: Path) -> int:
    with contextlib.closing(sqlite3.connect(file)) as database:
        return int(database.execute("SELECT COUNT(*) FROM Artifact").fetchone()[0])


def _zero_a_page(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[4096:12288] = bytes(8192)
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "state"),
    [
        (lambda file: file.write_bytes(b""), "empty"),
        (Path.unlink, "missing"),
        (lambda file: file.write_bytes(file.read_bytes()[:5000]), "damaged"),
        (lambda file: file.write_bytes(b"not a database at all" * 999), "damaged"),
        (_zero_a_page, "damaged"),
    ],
)
def test_copy_replaces_damaged_database(file: Path, harm: object, state: str) -> None:
    back_up(file)
    assert restore_if_damaged(file, file.parent / "pipeline") is None
    harm(file)  # type: ignore[operator]
    assert not is_sound(file)
    told = restore_if_damaged(file, file.parent / "pipeline")
    assert told is not None
    assert told.startswith(f"{file} was {state}. The copy of ")
    assert rows(file) == 500
    assert restore_if_damaged(file, file.parent / "pipeline") is None
    damaged = file.with_name(file.name + ".damaged")
    assert damaged.exists() == (state == "damaged"), "what may still be readable is kept"


@pytest.mark.parametrize(("folders", "following"), [(("Trainer/model/19", "Trainer/model_run/x"), 20), ((), 17)])
def test_executions_after_the_copy_keep_their_folders(file: Path, folders: tuple[str, ...], following: int) -> None:
    back_up(file)
    for folder in folders:
        (file.parent / "pipeline" / folder).mkdir(parents=True)
    file.unlink()
    assert restore_if_damaged(file, file.parent / "pipeline")
    with contextlib.closing(sqlite3.connect(file)) as database:
        assert database.execute("INSERT INTO Execution DEFAULT VALUES").lastrowid == following


def test_damage_without_copy_is_refused(file: Path) -> None:
    file.write_bytes(b"x" * 9999)
    with pytest.raises(RootError, match=r"is damaged, and .* is no sound copy"):
        restore_if_damaged(file, file.parent / "pipeline")
    backup_of(file).write_bytes(b"y" * 9999)
    with pytest.raises(RootError, match="is no sound copy"):
        restore_if_damaged(file, file.parent / "pipeline")
    assert file.read_bytes() == b"x" * 9999


@pytest.mark.parametrize("exists", [True, False])
def test_only_a_root_without_artifacts_is_new(tmp_path: Path, exists: bool) -> None:
    file, artifacts = tmp_path / "metadata.sqlite", tmp_path / "pipeline"
    if exists:
        file.touch()
    assert restore_if_damaged(file, artifacts) is None
    artifacts.mkdir()
    assert restore_if_damaged(file, artifacts) is None
    (artifacts / "Trainer").mkdir()
    with pytest.raises(RootError, match="database is empty" if exists else "database is missing"):
        restore_if_damaged(file, artifacts)


def test_changes_in_the_log_are_copied(file: Path) -> None:
    """The database is open, and its last change is still in the write-ahead log."""
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("INSERT INTO Artifact VALUES (500, 'last')")
        database.commit()
        back_up(file)
    assert rows(backup_of(file)) == 501


def test_full_disk_keeps_the_last_copy(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    back_up(file)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(metadata_backup.os, "replace", full)
        back_up(file)
    assert rows(backup_of(file)) == 500
    assert sorted(path.name for path in file.parent.iterdir()) == sorted([file.name, backup_of(file).name])
