"""Input objects on a real S3 server, against the same files on disk."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tfx.orchestration import data_types
from tfx.proto import example_gen_pb2
from tfx.utils import proto_utils

from components.pair_example_gen import objects
from components.pair_example_gen.component import PairExampleGen
from components.pair_example_gen.driver import Driver
from components.pair_example_gen.inputs import InputFile
from components.pair_example_gen.settings import CopiedObjects, IngestSettings
from components.pair_example_gen.source import find_files, split_path
from errors import InputError, StoreError, StoreUnavailable
from tests.object_store import Bucket, FaultyProxy, error

pytestmark = pytest.mark.tensorflow

TREE = {
    "day/a.csv": "x,y,1\n",
    "day/b.csv": "x,z,2\n",
    "day/deep/c.csv": "y,z,3\n",
    "day/_hidden.csv": "-",
    "day/.hidden/d.csv": "-",
    "day2/e.csv": "x,y,4\n",
    "other.txt": "x",
}
DATED = ["2024-02-28", "2024-03-01", "2024-02-29"]


@pytest.fixture
def copied(tmp_path: Path) -> CopiedObjects:
    return CopiedObjects(folder=str(tmp_path / "root" / "inputs"))


def _settings(path: str, copied: CopiedObjects, **data: Any) -> IngestSettings:
    return IngestSettings(path=path, columns={"left": 0, "right": 1, "score": 2}, copied=copied, **data)


def _names(settings: IngestSettings) -> list[str]:
    base, pattern = split_path(settings.path)
    return [os.path.relpath(file, base) for file in find_files(base, pattern).files]


def _below(folder: str) -> set[str]:
    return {os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names}


def _downloads(proxy: FaultyProxy) -> list[str]:
    return sorted(
        line.split()[1].split("/", 2)[2] for line in proxy.requests if line.startswith("GET") and "?" not in line
    )


def _put(bucket: Bucket, tree: dict[str, str]) -> None:
    for key, content in tree.items():
        bucket.put(key, content)


@pytest.mark.parametrize(
    "pattern", ["day", "day/", "day/*", "day/**", "day*/*.csv", "day/deep/c.csv", "d?y/[ab].csv", "*"]
)
def test_objects_match_like_files(
    bucket: Bucket, proxy: FaultyProxy, copied: CopiedObjects, tmp_path: Path, pattern: str
) -> None:
    _put(bucket, TREE)
    for name, content in TREE.items():
        (tmp_path / "disk" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "disk" / name).write_text(content)
    settings = objects.with_copies(_settings(f"{bucket.url}/{pattern}", copied), copied)
    local = _settings(str(tmp_path / "disk" / pattern), copied)
    assert _names(settings) == _names(local)
    base, below = split_path(settings.path)
    for file in find_files(base, below).files:
        assert Path(file).read_text() == TREE[os.path.relpath(file, f"{copied.folder}/s3/{bucket.name}")]


def test_unchanged_objects_are_downloaded_once(bucket: Bucket, proxy: FaultyProxy, copied: CopiedObjects) -> None:
    _put(bucket, TREE)
    settings = _settings(f"{bucket.url}/day/*.csv", copied)
    objects.with_copies(settings, copied)
    assert _downloads(proxy) == ["day/a.csv", "day/b.csv"]
    proxy.requests.clear()
    objects.with_copies(settings, copied)
    assert _downloads(proxy) == []
    bucket.put("day/a.csv", "x,y,9\n")  # the same size, within the same second
    read = objects.with_copies(settings, copied)
    assert _downloads(proxy) == ["day/a.csv"]
    assert Path(split_path(read.path)[0], "a.csv").read_text() == "x,y,9\n"


def test_deleted_objects_lose_their_copies(bucket: Bucket, proxy: FaultyProxy, copied: CopiedObjects) -> None:
    _put(bucket, TREE)
    settings = _settings(f"{bucket.url}/day", copied)
    objects.with_copies(settings, copied)
    bucket.delete("day/deep/c.csv")
    assert _names(objects.with_copies(settings, copied)) == ["a.csv", "b.csv"]


def test_only_chosen_spans_are_downloaded(bucket: Bucket, proxy: FaultyProxy, copied: CopiedObjects) -> None:
    _put(bucket, {f"day/{date}/a.csv": "x,y,1\n" for date in DATED})
    settings = _settings(f"{bucket.url}/day/{{YYYY}}-{{MM}}-{{DD}}/*", copied, spans={"latest": 2})
    objects.with_copies(settings, copied)
    assert _downloads(proxy) == ["day/2024-02-29/a.csv", "day/2024-03-01/a.csv"]
    bucket.delete("day/2024-03-01/a.csv")
    objects.with_copies(settings, copied)
    assert _below(copied.folder) == {f"s3/{bucket.name}/day/{date}/a.csv" for date in ("2024-02-28", "2024-02-29")}


def test_spans_are_listed_without_downloads(bucket: Bucket, proxy: FaultyProxy, copied: CopiedObjects) -> None:
    _put(bucket, {f"day/{date}/a.csv": "x,y,1\n" for date in DATED})
    settings = _settings(f"{bucket.url}/day/{{YYYY}}-{{MM}}-{{DD}}/*", copied, spans={"first": "2024-02-29"})
    assert [span.pattern for span in objects.choose_spans(settings, copied)] == ["2024-02-29/*", "2024-03-01/*"]
    assert _downloads(proxy) == []


def test_file_without_span_is_refused(bucket: Bucket, proxy: FaultyProxy, copied: CopiedObjects) -> None:
    _put(bucket, {"day/1/a.csv": "x,y,1\n", "day/x/a.csv": "x,y,1\n"})
    with pytest.raises(InputError, match=r"day/x/a\.csv has no number in place of the span"):
        objects.with_copies(_settings(f"{bucket.url}/day/{{SPAN}}/*", copied), copied)


def _resolved(settings: IngestSettings) -> dict[str, Any]:
    """Returns the parameters of the executor."""
    component = PairExampleGen.of(settings)
    given = dict(component.exec_properties)
    nothing = data_types.PipelineInfo("", "")
    return Driver(None).resolve_exec_properties(given, nothing, data_types.ComponentInfo("", "", nothing))


def test_driver_reads_copies_and_sees_changes(bucket: Bucket, proxy: FaultyProxy, copied: CopiedObjects) -> None:
    _put(bucket, {f"day/{date}/a.csv": "x,y,1\n" for date in DATED} | {"films.csv": "x,3\n"})
    features = {"path": f"{bucket.url}/films.csv", "id": 0, "columns": {"year": {"kind": "number", "column": 1}}}
    settings = _settings(f"{bucket.url}/day/{{YYYY}}-{{MM}}-{{DD}}/*", copied, left_features=features)
    first = _resolved(settings)
    config = example_gen_pb2.Input()
    proto_utils.json_to_proto(first["input_config"], config)
    assert first["input_base"] == f"{copied.folder}/s3/{bucket.name}/day"
    assert [split.pattern for split in config.splits] == ["2024-03-01/*"]
    assert json.loads(first["settings"])["left_features"]["path"] == f"{copied.folder}/s3/{bucket.name}/films.csv"
    assert _resolved(settings) == first
    bucket.put("films.csv", "x,4\n")
    assert _resolved(settings)["input_fingerprint"] != first["input_fingerprint"]
    bucket.put("films.csv", "x,3\n")
    bucket.put("day/2024-03-02/a.csv", "x,y,1\n")
    assert _resolved(settings)["span"] == first["span"] + 1


def test_member_of_an_archive_is_read(
    bucket: Bucket, proxy: FaultyProxy, copied: CopiedObjects, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "pairs.zip", "w") as archive:
        archive.writestr("a.csv", "x,y,1\n")
        archive.writestr("b.csv", "x,y,1\n")
    bucket.put("day/pairs.zip", (tmp_path / "pairs.zip").read_bytes())
    assert _names(objects.with_copies(_settings(f"{bucket.url}/day", copied), copied)) == [
        "pairs.zip/a.csv",
        "pairs.zip/b.csv",
    ]
    assert _names(objects.with_copies(_settings(f"{bucket.url}/day/pairs.zip/b.csv", copied), copied)) == ["b.csv"]


@pytest.mark.parametrize("path", ["absent.csv", "absent", "day/*.parquet", "absent/*"])
def test_missing_objects_are_named(bucket: Bucket, proxy: FaultyProxy, copied: CopiedObjects, path: str) -> None:
    _put(bucket, TREE)
    with pytest.raises(InputError, match=r"data\.path: s3://.*: no object matches\. Correct the URL"):
        objects.with_copies(_settings(f"{bucket.url}/{path}", copied), copied)


def test_messages_name_the_key(bucket: Bucket, proxy: FaultyProxy, copied: CopiedObjects) -> None:
    with pytest.raises(StoreError, match=r"data\.path: s3://absent: there is no bucket absent"):
        objects.with_copies(_settings("s3://absent/a.csv", copied), copied)
    _put(bucket, TREE)
    features = {"path": f"{bucket.url}/films.csv", "id": 0, "columns": {"year": {"kind": "number", "column": 1}}}
    with pytest.raises(InputError, match=r"data\.left_features\.path: s3://.*/films\.csv: no object matches"):
        objects.with_copies(_settings(f"{bucket.url}/day", copied, left_features=features), copied)
    proxy.first(1000, "GET", error(503, "SlowDown"))
    with pytest.raises(StoreUnavailable, match=r"data\.path: .*failed 3 times"):
        objects.with_copies(_settings(f"{bucket.url}/day", copied), copied)


def test_inputs_are_recorded_by_url() -> None:
    copied = CopiedObjects(folder="/root/inputs")
    files = [InputFile(path, 1, "x") for path in ("/root/inputs/s3/b/a.csv", "/data/a.csv")]
    assert [file.path for file in objects.named_by_url(files, copied)] == ["s3://b/a.csv", "/data/a.csv"]
    assert objects.named_by_url(files, None) == files
