"""Lists of all entities: the folder of all versions, and the parts that workers rank."""

from __future__ import annotations

import functools
import os
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from components.batch_lists import work
from components.batch_lists.folder import ListsFolder, Manifest, digests_of
from components.batch_lists.ranking import block_size, rank
from components.batch_lists.seen import SeenPairs
from components.batch_lists.settings import BatchSettings
from components.batch_lists.work import RankPart, parts_of, read_counts
from kindred.saved_model import SavedModel
from tests import written_examples
from tests.unit.trainer.planted_model import LEFT, RIGHT, Planted


def made(folder: Path, version: int, key: str = "key", text: str = "rows") -> Path:
    (folder / "right").mkdir(parents=True)
    (folder / "right" / "00000-of-00001.csv").write_text(text)
    Manifest(key, version, "films", {}, {"right": {"queries": 1, "rows": 1}}, digests_of(folder)).write(folder)
    return folder


@pytest.fixture
def lists(tmp_path: Path) -> ListsFolder:
    return ListsFolder(tmp_path / "lists")


def test_lists_of_the_same_key_are_found_until_a_file_changes(lists: ListsFolder, tmp_path: Path) -> None:
    assert lists.find(1, "key") is None
    lists.publish(1, made(tmp_path / "artifact", 1))
    found = lists.find(1, "key")
    assert found == tmp_path / "lists" / "1"
    assert lists.find(1, "other") is None and lists.find(2, "key") is None
    (found / "right" / "00000-of-00001.csv").unlink()
    assert lists.find(1, "key") is None


def test_new_lists_replace_those_of_the_version(lists: ListsFolder, tmp_path: Path) -> None:
    lists.publish(1, made(tmp_path / "a", 1, text="old"))
    lists.publish(1, made(tmp_path / "b", 1, text="new"))
    assert (tmp_path / "lists" / "1" / "right" / "00000-of-00001.csv").read_text() == "new"
    assert os.listdir(tmp_path / "lists") == ["1"]


def test_disk_without_links_gets_copies(lists: ListsFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    lists.publish(1, made(tmp_path / "artifact", 1))
    assert lists.find(1, "key") is not None


def test_failed_write_leaves_the_earlier_lists(
    lists: ListsFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists.publish(1, made(tmp_path / "a", 1))
    new = made(tmp_path / "b", 1)

    def fill(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("components.batch_lists.folder._link", fill)
    with pytest.raises(OSError, match="No space"):
        lists.publish(1, new)
    assert lists.find(1, "key") is not None and os.listdir(tmp_path / "lists") == ["1"]


def test_current_names_lists_of_the_served_version_or_nothing(lists: ListsFolder, tmp_path: Path) -> None:
    lists.point(1)
    assert not (tmp_path / "lists").exists()
    for version in (1, 2):
        lists.publish(version, made(tmp_path / str(version), version))
        lists.point(version)
        assert os.readlink(tmp_path / "lists" / "current") == str(version)
    lists.point(1)
    assert os.readlink(tmp_path / "lists" / "current") == "1"
    lists.point(3)
    assert sorted(os.listdir(tmp_path / "lists")) == ["1", "2"]


def test_only_own_old_lists_are_retired(lists: ListsFolder, tmp_path: Path) -> None:
    for version in (1, 2, 10):
        lists.publish(version, made(tmp_path / str(version), version))
    (tmp_path / "lists" / "3").mkdir()
    assert lists.versions() == [1, 2, 10]
    lists.retire(2)
    assert sorted(os.listdir(tmp_path / "lists")) == ["10", "2", "3"]


@pytest.mark.tensorflow
@pytest.mark.parametrize("exclude", ["all", "train", "none"])
def test_parts_of_workers_are_the_whole_ranking(
    planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exclude: str
) -> None:
    train = [(LEFT[0], right, 1.0) for right in RIGHT[:5]] + [(LEFT[2], RIGHT[1], 1.0), (b"unknown", RIGHT[0], 1.0)]
    held_out = [(LEFT[2], RIGHT[2], 1.0), (LEFT[1], b"never seen", 1.0)]
    written_examples.write(tmp_path / "examples", train, held_out)
    monkeypatch.setattr(work, "_ROWS", 6)
    monkeypatch.setattr("components.batch_lists.ranking._MOST_QUERIES", 2)
    assert block_size(len(RIGHT)) == 2
    settings = BatchSettings(lists=("right", "left", "neighbors_left"), k=3, exclude_seen=exclude)  # type: ignore[arg-type]
    parts = parts_of(str(planted.model), settings)
    assert sum(part.end - part.first for part in parts) == len(LEFT) + len(RIGHT) + len(LEFT)
    (tmp_path / "counts").mkdir()
    ranker = RankPart(
        str(planted.model), str(tmp_path / "examples"), str(tmp_path), str(tmp_path / "counts"),
        settings.model_dump_json(),
    )  # fmt: skip
    for part in parts:
        list(pickle.loads(pickle.dumps(ranker))(part))
    seen = {"all": [*train, *held_out], "train": train, "none": []}[exclude]
    ids = [pa.array([row[side] for row in seen], pa.binary()) for side in (0, 1)]
    model = SavedModel(str(planted.model))
    for name, side, order in (("right", "right", ids), ("left", "left", ids[::-1]), ("neighbors_left", "left", None)):
        of_ids = functools.partial(SeenPairs.of_ids, [tuple(order)]) if order else None
        whole = rank(model, side, 3, None, of_ids, order is None)
        expected = pa.concat_tables([table for _, table in whole.blocks(0, whole.count)])
        files = sorted((tmp_path / name).iterdir())
        assert len(files) > 1
        assert pa.concat_tables([pa.parquet.read_table(file) for file in files]).equals(expected)
        assert read_counts(str(tmp_path / "counts"))[name] == {"queries": whole.count, "rows": len(expected)}
