"""Folders whose names contain characters of patterns are read literally."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.pair_example_gen import files, quarantine, reports


@pytest.mark.parametrize("folder", ["plain", "proj[1]", "st*r", "what?", "back\\slash"])
def test_folder_is_taken_literally(tmp_path: Path, folder: str) -> None:
    place = tmp_path / folder / "quarantine" / "3"
    place.mkdir(parents=True)
    for name in ("b.parquet", "a.parquet", "a.json"):
        (place / name).write_text("{}")
    assert files.named(str(place), ".parquet") == [str(place / "a.parquet"), str(place / "b.parquet")]
    kept = quarantine.keep_apart(str(place))
    assert sorted(path.name for path in Path(kept).iterdir()) == ["a.parquet", "b.parquet"]
    assert files.named(str(place / "none"), ".json") == [] == reports.read_reports(str(place / "none"))
