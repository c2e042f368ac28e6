"""Which files are read, and what is reported as left out."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from components.pair_example_gen.driver import fingerprint
from components.pair_example_gen.source import check_span, find_files, span_numbers, split_path
from errors import InputError

FILES = ["a.csv", "x/b.csv", "x/y/c.csv", "dt=2024-01-02/part-0.csv", "dt=2024-01-02/h=7/part-1.csv"]
LEFT_OUT = ["_SUCCESS", ".hidden.csv", "_temporary/0/part-9.csv", "x/.ipynb_checkpoints/b.csv", "x/empty.csv"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (*FILES, *LEFT_OUT):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("" if "empty" in name or "SUCCESS" in name else "a,b\n")
    return tmp_path / "data"


def names(paths: list[str], tree: Path) -> set[str]:
    return {os.path.relpath(path, tree) for path in paths}


@pytest.mark.parametrize("pattern", ["", "**", "**/*", "*"])
def test_all_folders_are_read_and_the_rest_is_reported(tree: Path, pattern: str) -> None:
    found = find_files(*split_path(str(tree / pattern)))
    assert names(found.files, tree) == set(FILES)
    skipped = {os.path.relpath(skip.path, tree): skip.reason for skip in found.skipped}
    assert skipped["_SUCCESS"] == "hidden"
    assert skipped["x/empty.csv"] == "empty"
    assert skipped.get("_temporary", "hidden") == "hidden"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("**/*.csv", FILES),
        ("*.csv", ["a.csv"]),
        ("x/**", ["x/b.csv", "x/y/c.csv"]),
        ("x/*", ["x/b.csv", "x/y/c.csv"]),
        ("**/y/*", ["x/y/c.csv"]),
        ("dt=*/part-*", ["dt=2024-01-02/part-0.csv"]),
        ("dt=*", ["dt=2024-01-02/part-0.csv", "dt=2024-01-02/h=7/part-1.csv"]),
        (".hidden.csv", [".hidden.csv"]),
        ("_temporary/*/*", ["_temporary/0/part-9.csv"]),
    ],
)
def test_globs(tree: Path, pattern: str, expected: list[str]) -> None:
    assert names(find_files(*split_path(str(tree / pattern))).files, tree) == set(expected)


def test_link_to_a_folder_above_ends(tree: Path) -> None:
    (tree / "x" / "loop").symlink_to(tree, target_is_directory=True)
    found = find_files(*split_path(str(tree)))
    assert {os.path.realpath(file) for file in found.files} == {os.path.realpath(tree / name) for name in FILES}


@pytest.mark.parametrize("pattern", ["none/*", "nothing.csv"])
def test_nothing_found(tree: Path, pattern: str) -> None:
    with pytest.raises(InputError, match=r"no file matches|no such file"):
        find_files(*split_path(str(tree / pattern)))


def test_only_empty_files(tree: Path) -> None:
    with pytest.raises(InputError, match="is empty"):
        find_files(*split_path(str(tree / "x" / "empty.csv")))


def test_fingerprint_sees_every_file(tree: Path) -> None:
    before = fingerprint(*split_path(str(tree)))
    assert fingerprint(*split_path(str(tree))) == before
    assert before.startswith(f"num_files:{len(FILES)},total_bytes:{4 * len(FILES)},")
    deep = tree / "x" / "y" / "c.csv"
    deep.write_text("c,d\n")
    os.utime(deep, ns=(1, 1))
    assert fingerprint(*split_path(str(tree))) != before


def test_spans_with_subfolders(tmp_path: Path) -> None:
    for name in ("span-2/a.csv", "span-10/x/b.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a,b\n")
    for pattern in ("span-{SPAN}/*", "span-{SPAN}/**", "span-{SPAN}", "span-{SPAN}/**/*.csv"):
        base, below = split_path(str(tmp_path / pattern))
        check_span(base, below)
        assert max(numbers["SPAN"] for numbers in span_numbers(base, below)) == 10


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "ml.zip"
    with zipfile.ZipFile(path, "w") as out:
        for name in ("ml/ratings.csv", "ml/x/more.csv", "ml/README", "__MACOSX/ml/._ratings.csv", "ml/empty.csv"):
            out.writestr(name, "" if "empty" in name else "a,b\n")
    return path


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", ["ml/README", "ml/ratings.csv", "ml/x/more.csv"]),
        ("/ml/ratings.csv", ["ml/ratings.csv"]),
        ("/ml/*.csv", ["ml/ratings.csv"]),
        ("/**/*.csv", ["ml/ratings.csv", "ml/x/more.csv"]),
        ("/ml/x", ["ml/x/more.csv"]),
    ],
)
def test_members_of_an_archive(archive: Path, pattern: str, expected: list[str]) -> None:
    found = find_files(*split_path(f"{archive}{pattern}"))
    assert found.files == [f"{archive}/{name}" for name in expected]
    assert (f"{archive}/ml/empty.csv" in {skip.path for skip in found.skipped}) == (
        pattern in ("", "/ml/*.csv", "/**/*.csv")
    )


def test_archive_in_a_folder(archive: Path) -> None:
    found = find_files(*split_path(str(archive.parent)))
    assert found.files == [f"{archive}/ml/{name}" for name in ("README", "ratings.csv", "x/more.csv")]


def test_encrypted_archive_is_refused(archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    archive.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"ml.zip: ml/ratings.csv is encrypted. Unpack"):
        find_files(*split_path(str(archive)))


@pytest.mark.parametrize("name", ["none.csv", "ml/*.tsv"])
def test_no_such_member(archive: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"no such file|no file matches"):
        find_files(*split_path(f"{archive}/{name}"))
