"""Where models of a root are published."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from errors import ConfigError
from pipeline.config import PipelineConfig
from pipeline.records.root import Root

_FILE = {"name": "films", "data": {"path": "a.csv", "columns": {"left": "l", "right": "r"}}}


def _serving(to: str, **publish: object) -> str:
    return Root(Path("/data/root")).serving(PipelineConfig.model_validate({**_FILE, "publish": {"to": to, **publish}}))


@pytest.mark.parametrize("to", ["serving", "models/live", "a/../b", "/data/root/deep", "./serving", "..photos"])
def test_directory_below_the_root(to: str) -> None:
    assert _serving(to) == str(Path("/data/root") / to)


@pytest.mark.parametrize("to", ["../photos", "/srv/models", "a/../../photos", "/data/root2", "..", "/"])
def test_directory_outside_must_be_allowed(to: str) -> None:
    with pytest.raises(ConfigError, match=r"is outside the root /data/root.*publish\.outside_root to true"):
        _serving(to)
    assert _serving(to, outside_root=True) == str(Path("/data/root") / to)


def test_url_is_no_directory() -> None:
    assert _serving("gs://bucket/models") == "gs://bucket/models"


@pytest.mark.parametrize("newest", ["29991231-235959-999", "30000101-000000-000"])
def test_run_ids_stay_ordered_when_the_clock_goes_back(newest: str, tmp_path: Path) -> None:
    root = Root(tmp_path)
    impossible = ("99999999-999999-999", "99991231-235959-999", "99990101-000000-000")
    for name in ("20200101-000000-000", newest, "copied-by-hand", *impossible):
        (root.runs / name).mkdir(parents=True)
    ids = [root.new_run() for _ in range(3)]
    assert [newest, *ids] == sorted({newest, *ids})
    assert len(newest) == len(ids[0])


def test_first_run_id_is_the_time(tmp_path: Path) -> None:
    before = datetime.datetime.now() - datetime.timedelta(milliseconds=1)
    started = datetime.datetime.strptime(Root(tmp_path).new_run(), "%Y%m%d-%H%M%S-%f")
    assert before <= started <= datetime.datetime.now()
