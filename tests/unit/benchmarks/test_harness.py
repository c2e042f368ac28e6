"""Generated data of the benchmarks."""

from __future__ import annotations

from pathlib import Path

from benchmarks.harness import pairs_of


def test_entities_are_those_of_both_sides(tmp_path: Path) -> None:
    (file,) = pairs_of(tmp_path, 500, entities=3).iterdir()
    left, right, _ = zip(*(line.split(",") for line in file.read_text().splitlines()[1:]), strict=True)
    assert len(left) == 500
    assert set(left) == {"left-0", "left-1", "left-2"}
    assert set(right) == {"right-0", "right-1", "right-2"}


def test_each_size_has_its_folder(tmp_path: Path) -> None:
    folders = {pairs_of(tmp_path, rows, entities) for rows in (10, 20) for entities in (None, 3, 4)}
    assert len(folders) == 6


def test_existing_data_are_kept(tmp_path: Path) -> None:
    (file,) = pairs_of(tmp_path, 10).iterdir()
    file.write_text("kept")
    (same,) = pairs_of(tmp_path, 10).iterdir()
    assert same.read_text() == "kept"
