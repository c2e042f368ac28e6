"""Long paths of roots and destinations: the longest works, one byte more is refused in a sentence."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from errors import ConfigError, RootError
from pipeline.records.path_limits import check_destination
from pipeline.records.root import Root


def _path(start: Path, size: int) -> Path:
    """Returns a path of exactly `size` characters below `start`."""
    names = f"{start}/" + "/".join(["d" * 99] * 20)
    return Path(names[: size - 1].rstrip("/").ljust(size, "e"))


def test_root_of_too_many_bytes_is_refused(tmp_path: Path) -> None:
    assert Root.at(_path(tmp_path, 450), "films").path == _path(tmp_path, 450)
    for size in (451, 1100):
        with pytest.raises(RootError, match=rf"^--root .*\.\.\.: the absolute path has {size:,} bytes, .* Set --root"):
            Root.at(_path(tmp_path, size), "films")
    with pytest.raises(RootError, match="has 451 bytes"):
        Root.at(Path(str(_path(tmp_path, 449)) + "é"), "films")


def test_databases_open_in_longest_root(tmp_path: Path) -> None:
    root = Root.at(_path(tmp_path, 450), "films")
    root.path.mkdir(parents=True)
    for name in (root.metadata.name, f".{root.metadata.name}.backup.4194304"):
        with contextlib.closing(sqlite3.connect(root.path / name)) as database:
            database.execute("CREATE TABLE a (b)")


@pytest.mark.parametrize(("name", "figures"), [("n" * 256, "256 and 262"), ("n/" * 1999 + "n", "4 and 4,005")])
def test_destination_that_no_file_system_has_is_refused(name: str, figures: str) -> None:
    check_destination(f"/root/{'n' * 255}")
    with pytest.raises(ConfigError, match=rf"^publish\.to: .*\(got {figures}\)\. Set publish\.to to a shorter path"):
        check_destination(f"/root/{name}")
