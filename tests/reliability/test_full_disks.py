"""Small disks: a run refuses before the work or names the disk, keeps its record, and continues when there is room."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.pair_example_gen.room import least_bytes
from components.pusher.local import LocalVersions
from errors import DiskFull
from pipeline.config import PipelineConfig
from pipeline.records.record_file import RecordFile
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder
from pipeline.records.run_record import RunRecord
from pipeline.running import local
from pipeline.running.options import RunOptions
from tests.e2e import planted
from tests.e2e.command import kindred, last_summary

_CONFIG = PipelineConfig.model_validate({"name": "films", "data": {"path": "/x.csv"}})


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB. The smallest run needs more."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3000k", "tmpfs", str(place)]).returncode:
        pytest.skip("only root can mount a disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_full_disk_is_named_and_run_continues_with_room(tmp_path: Path, disk: Path) -> None:
    config, root = planted.write_pipeline(tmp_path), disk / "root"
    failed = kindred("run", "--config", config, "--root", root)  # which asserts that there is no traceback
    assert failed.returncode == 1, failed.stderr
    summary = last_summary(root)
    assert summary["error"].startswith(f"the disk at {disk} is full: ") and summary["error"] in failed.stderr
    assert "A run of 2,1" in summary["error"] and "query" not in failed.stderr
    subprocess.run(["mount", "-o", "remount,size=60m", str(disk)], check=True)
    assert kindred("run", "--config", config, "--root", root).returncode == 0
    assert last_summary(root)["status"] == "published"


def test_hopeless_disk_is_refused_before_the_run(disk: Path) -> None:
    (disk / "filler").write_bytes(bytes(1_500_000))
    with pytest.raises(DiskFull, match=rf"need at least 2\.0 MB in {disk}/root, and the disk at {disk} has 1\.\d MB"):
        local.run(_CONFIG, Root(disk / "root"), RunOptions(), lambda _: None)
    assert not (disk / "root").exists()


def test_record_is_written_on_full_disk(disk: Path) -> None:
    folder = RunFolder(disk / "run")
    folder.path.mkdir()
    record = RunRecord.begin(_CONFIG, "run")
    file = RecordFile(record, folder)
    file.save()
    _fill(disk)
    file.save()
    assert file.fault is not None
    record.status = "published"
    file.finish()
    assert file.fault is None and folder.read_summary()["status"] == "published"
    _fill(disk)
    record.status = "failed"
    file.finish()
    assert file.fault and folder.read_summary()["status"] == "published"  # the last record is whole


def test_record_that_cannot_be_written_does_not_end_a_published_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def execute(config: object, root: object, options: object, record: RunRecord, *_: object) -> int:
        record.status = "published"
        monkeypatch.setattr(RunRecord, "write", _no_space)
        return 0

    monkeypatch.setattr(local, "_execute", execute)
    outcome = local.run(_CONFIG, Root(tmp_path / "root"), RunOptions(), lambda _: None)
    assert outcome.exit_code == 0
    assert f"{outcome.folder.summary} could not be written: No space left on device" in capfd.readouterr().err


def _no_space(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_version_that_does_not_fit_is_refused_before_copying(tmp_path: Path, disk: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "saved_model.pb").write_bytes(bytes(4_000_000))
    with pytest.raises(DiskFull, match=r"the files of the model need at least 4\.0 MB"):
        LocalVersions(str(disk / "serving"), "films").publish(str(model))
    assert os.listdir(disk / "serving") == []


def test_examples_need_no_more_than_estimated(tmp_path: Path) -> None:
    """The planted rows are counted exactly. What cannot be counted is nothing."""
    rows = 50_000
    text, table, junk = tmp_path / "pairs.csv", tmp_path / "pairs.parquet", tmp_path / "junk.parquet"
    text.write_text("aaaa,bbbb,1.0\n" * rows)
    pq.write_table(pa.table({"left_id": ["a"] * rows}), table)
    junk.write_bytes(b"junk")
    binary = tmp_path / "pairs.tfrecord"
    binary.write_bytes(b"\0\n" * rows)
    assert least_bytes([str(text)]) == least_bytes([str(table)]) == 8 * rows
    assert least_bytes([str(junk), str(binary), "s3://bucket/pairs.csv"]) == 0


def _fill(disk: Path) -> None:
    with contextlib.suppress(OSError), open(disk / f"filler{len(os.listdir(disk))}", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
