"""Where models of a root are published."""

from __future__ import annotations

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
