"""Ingestion with workers that share only an object store with the process that runs."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from components import engine_folder
from components.pair_example_gen.objects import with_copies
from components.pair_example_gen.settings import CopiedObjects, IngestSettings
from errors import DataRefused, InputError
from storage.settings import StorageSettings
from tests.integration.ingesting import NAMES, Ingested, ingest, layout, read_quarantine, settings
from tests.object_store import Bucket, FaultyProxy, cut

TIMED = layout(left="left", right="right", score="score", time="at")
ROWS = [(f"l{n % 7}", f"r{n % 11}", "bad" if n % 40 == 5 else n / 8, n) for n in range(200)]
HEADER = "left,right,score,at\n"


def _csv(rows: list[tuple[Any, ...]]) -> bytes:
    return (HEADER + "".join(",".join(map(str, row)) + "\n" for row in rows)).encode()


@pytest.fixture
def data(bucket: Bucket, proxy: FaultyProxy, tmp_path: Path) -> str:
    """The pattern of a CSV file and a compressed one."""
    bucket.put("data/a.csv", _csv(ROWS[:80]))
    bucket.put("data/b.csv", gzip.compress(_csv(ROWS[80:160])))
    return f"{bucket.url}/data/*.csv"


def _copied(url: str, folder: Path, **changes: Any) -> IngestSettings:
    copied = CopiedObjects(folder=str(folder / "inputs"), storage=StorageSettings())
    wanted = settings(**({"layout": NAMES} | changes)).replace(path=url, copied=copied)
    return with_copies(wanted, copied)


def _ingest(wanted: IngestSettings, out: Path, engine: str | None) -> Ingested:
    arguments = [f"{engine_folder.OPTION}={engine}"] if engine else None
    return ingest(Path(wanted.path), out, wanted, inline=True, arguments=arguments)


@pytest.mark.parametrize(
    "changes",
    [{}, {"layout": TIMED, "split_by": "time"}, {"duplicates": "last"}, {"duplicates": "mean"}],
    ids=["by pair", "by time", "last", "mean"],
)
def test_same_examples_as_with_local_files(changes: dict[str, Any], data: str, bucket: Bucket, tmp_path: Path) -> None:
    wanted = _copied(data, tmp_path, **changes)
    apart = _ingest(wanted, tmp_path / "apart", f"{bucket.url}/temp")
    together = _ingest(wanted, tmp_path / "together", None)
    assert sorted(apart.train) == sorted(together.train)
    assert sorted(apart.eval) == sorted(together.eval)
    assert apart.properties == together.properties
    assert [row["line"] for row in apart.bad] == [row["line"] for row in together.bad]
    assert {row["file"] for row in apart.bad} == {f"{bucket.url}/data/{name}.csv" for name in "ab"}
    left = [key for key in bucket.keys("temp/") if not key.endswith("/")]
    assert not left, "what workers wrote is deleted"


def test_bad_rows_of_refused_data_are_kept_on_this_machine(data: str, bucket: Bucket, tmp_path: Path) -> None:
    wanted = _copied(data, tmp_path, max_quarantined_fraction=0.01)
    with pytest.raises(DataRefused, match="4 x score is not a number") as refusal:
        _ingest(wanted, tmp_path / "out", f"{bucket.url}/temp")
    kept = str(refusal.value).split("All of them are in ")[1].split(" (Parquet)")[0]
    assert [row["line"] for row in read_quarantine(Path(kept))] == [n % 80 + 2 for n in (5, 45, 85, 125)]


def test_unreadable_object_is_named_by_url(bucket: Bucket, proxy: FaultyProxy, tmp_path: Path) -> None:
    bucket.put("data/a.csv", "user,film\n1,2\n")
    with pytest.raises(InputError, match=f"{bucket.url}/data/a.csv"):
        _ingest(_copied(f"{bucket.url}/data/a.csv", tmp_path), tmp_path / "out", f"{bucket.url}/temp")


def test_object_that_changes_during_the_run_is_refused(
    data: str, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy does not change, so only the store can show it."""
    wanted = _copied(data, tmp_path)
    bucket.put("data/a.csv", _csv(ROWS[:79]))
    with pytest.raises(InputError, match=f"{bucket.url}/data/a.csv changed while it was read"):
        _ingest(wanted, tmp_path / "out", f"{bucket.url}/temp")


def test_archives_and_local_files_are_refused(bucket: Bucket, proxy: FaultyProxy, tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.csv", _csv(ROWS[:80]))
    bucket.put("data/a.zip", content.getvalue())
    with pytest.raises(InputError, match="it is in an archive"):
        _ingest(_copied(f"{bucket.url}/data/a.zip", tmp_path), tmp_path / "out", f"{bucket.url}/temp")
    (tmp_path / "b.csv").write_bytes(_csv(ROWS[:80]))
    local = settings(NAMES).replace(path=str(tmp_path / "b.csv"))
    with pytest.raises(InputError, match="it is not an object"):
        _ingest(local, tmp_path / "local", f"{bucket.url}/temp")


def test_requests_of_workers_are_repeated(data: str, bucket: Bucket, proxy: FaultyProxy, tmp_path: Path) -> None:
    wanted = _copied(data, tmp_path)
    proxy.first(5, "PUT", cut)
    assert len(_ingest(wanted, tmp_path / "out", f"{bucket.url}/temp").rows) == 156
