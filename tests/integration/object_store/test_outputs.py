"""Files that commands write to an object store: whole, or as they were."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from errors import ConfigError, StoreError
from pipeline.commands.batch.output import check, written
from tests.object_store import Bucket, FaultyProxy

_TABLE = pa.table({"left_id": ["a", "b"], "score": pa.array([0.5, -1.0], pa.float32())})


def _write(url: str) -> None:
    with written(url, _TABLE.schema) as write:
        write(_TABLE.slice(0, 1))
        write(_TABLE.slice(1))


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_table_comes_back(bucket: Bucket, proxy: FaultyProxy, ending: str) -> None:
    _write(f"{bucket.url}/lists/today.{ending}")
    content = io.BytesIO(bucket.get(f"lists/today.{ending}"))
    read = pyarrow.parquet.read_table if ending == "parquet" else pyarrow.csv.read_csv
    assert read(content).to_pylist() == _TABLE.to_pylist()
    assert bucket.keys("lists/today") == [f"lists/today.{ending}"]


def test_failed_upload_leaves_the_former_object(
    bucket: Bucket, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("lists/today.csv", "yesterday")
    proxy.refuse = lambda request: request.startswith((b"PUT", b"POST"))
    with pytest.raises(StoreError, match=r"lists/today\.csv: the store refuses access"):
        _write(f"{bucket.url}/lists/today.csv")
    assert bucket.get("lists/today.csv") == b"yesterday"


def test_interrupted_work_leaves_the_former_object(bucket: Bucket, proxy: FaultyProxy) -> None:
    bucket.put("lists/today.csv", "yesterday")
    with pytest.raises(KeyError), written(f"{bucket.url}/lists/today.csv", _TABLE.schema):
        raise KeyError
    assert bucket.get("lists/today.csv") == b"yesterday"


@pytest.mark.parametrize("name", ["lists/today.txt", "lists/../today.csv"])
def test_wrong_names_are_refused_before_the_work(bucket: Bucket, proxy: FaultyProxy, name: str) -> None:
    with pytest.raises(ConfigError, match="--output: must"):
        check(f"{bucket.url}/{name}")


def test_missing_bucket_is_named_before_the_work(proxy: FaultyProxy) -> None:
    with pytest.raises(StoreError, match="there is no bucket absent"):
        check("s3://absent/lists.csv")
