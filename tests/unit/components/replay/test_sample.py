"""Which requests of a log are replayed, and what is counted instead."""

from __future__ import annotations

import collections
from pathlib import Path

import pytest

from components.replay.sample import _Reservoir, read_sample
from tests.request_logs import logged, write_log

pytestmark = pytest.mark.tensorflow


def _score(left: bytes, model: str = "films") -> bytes:
    return logged("score", {"left_id": [left], "right_id": [b"x"]}, model=model)


def test_requests_of_all_files_are_drawn(tmp_path: Path) -> None:
    write_log(tmp_path / "log.1", [_score(b"%d" % i) for i in range(30)])
    write_log(tmp_path / "log.2", [_score(b"%d" % i) for i in range(30, 60)])
    sample = read_sample([tmp_path / "log.1", tmp_path / "log.2"], "films", 20)
    ids = {request.inputs["left_id"][0] for request in sample.requests}
    assert (len(sample.requests), len(ids), sample.files, sample.records) == (20, 20, 2, 60)
    assert min(map(int, ids)) < 30 <= max(map(int, ids))
    again = read_sample([tmp_path / "log.1", tmp_path / "log.2"], "films", 20)
    assert [r.inputs["left_id"][0] for r in again.requests] == [r.inputs["left_id"][0] for r in sample.requests]


def test_each_item_is_kept_with_the_same_probability() -> None:
    kept: collections.Counter[int] = collections.Counter()
    reservoir = _Reservoir(4)
    for _ in range(3000):
        draw = _Reservoir(4)
        draw._random = reservoir._random  # other numbers in each round
        for item in range(12):
            draw.offer(item)
        kept.update(draw.drawn())
    # 1,000 expected with a standard deviation of 26.
    assert all(870 < kept[item] < 1130 for item in range(12)), kept


def test_records_that_cannot_be_replayed_are_counted(tmp_path: Path) -> None:
    from tensorflow_serving.apis import prediction_log_pb2

    classified = prediction_log_pb2.PredictionLog()
    classified.classify_log.request.model_spec.name = "films"
    misshapen = prediction_log_pb2.PredictionLog.FromString(_score(b"a"))
    misshapen.predict_log.request.inputs["left_id"].tensor_shape.dim[0].size = 7
    del misshapen.predict_log.request.inputs["left_id"].string_val[:]
    misshapen.predict_log.request.inputs["left_id"].tensor_content = b"abc"
    write_log(
        tmp_path / "log",
        [b"\xff no record", classified.SerializeToString(), misshapen.SerializeToString(), _score(b"a"),
         _score(b"b", "music"), _score(b"c", "\x1b[2J")],
    )  # fmt: skip
    sample = read_sample([tmp_path / "log"], "films", 10)
    assert [request.inputs["left_id"].tolist() for request in sample.requests] == [[b"a"]]
    assert (sample.records, sample.foreign, sample.damaged) == (6, 3, 0)
    assert sample.others == {"music": 1, "\x1b[2J": 1}


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign", "empty"])
def test_damaged_file_is_read_as_far_as_it_goes(tmp_path: Path, damage: str) -> None:
    write_log(tmp_path / "log", [_score(b"a"), _score(b"b")])
    content = bytearray((tmp_path / "log").read_bytes())
    if damage == "cut":
        content = content[:-3]
    elif damage == "flipped":
        content[-10] ^= 1
    else:
        content = bytearray(b"" if damage == "empty" else b"left_id,right_id\na,b\n")
    (tmp_path / "log").write_bytes(content)
    sample = read_sample([tmp_path / "log"], "films", 10)
    kept = 1 if damage in ("cut", "flipped") else 0
    assert (len(sample.requests), sample.damaged) == (kept, 0 if damage == "empty" else 1)


def test_unreadable_file_counts_as_damaged(tmp_path: Path) -> None:
    assert read_sample([tmp_path / "gone"], "films", 10).damaged == 1
