"""What is reported about the files that arrived."""

from __future__ import annotations

from pathlib import Path

from components.pair_example_gen import arrival
from components.pair_example_gen.arrival import Arrival
from components.pair_example_gen.source import Skipped

SKIPPED = [Skipped(f"/d/part-{n}.csv", "empty") for n in range(5)] + [Skipped("/d/_SUCCESS", "hidden")]


def test_record_is_read_as_written(tmp_path: Path) -> None:
    wrote = Arrival(3, 12_345, 99, SKIPPED, {"delimiter semicolon": 2})
    arrival.write(wrote, str(tmp_path))
    assert arrival.read(str(tmp_path)) == wrote


def test_older_artifact_has_no_record(tmp_path: Path) -> None:
    assert arrival.read(str(tmp_path)) is None


def test_description_names_what_is_out_of_the_ordinary() -> None:
    described = Arrival(3, 12_345, 99, SKIPPED, {"decimal comma": 3, "delimiter semicolon": 2}).describe()
    assert described == [
        "3 files, 12.3 kB",
        "skipped 5 empty (part-0.csv, part-1.csv, part-2.csv, ...)",
        "skipped 1 hidden (_SUCCESS)",
        "decimal comma",
        "delimiter semicolon (in 2 files)",
    ]


def test_description_of_plain_file() -> None:
    assert Arrival(1, 999, 5).describe() == ["1 file, 999 bytes"]
    assert Arrival(2, 3_400_000_000, 5).describe() == ["2 files, 3.4 GB"]
