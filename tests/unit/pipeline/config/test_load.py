"""Loading a pipeline file, with overrides from the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from errors import ConfigError
from pipeline.config import load_config
from tests.unit.pipeline.config.pipeline_files import write


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("train.epochs=5", "train", "epochs", 5),
        ("train.learning_rate=1e-3", "train", "learning_rate", 0.001),
        ("train.early_stopping=null", "train", "early_stopping", None),
        ("train.early_stopping=", "train", "early_stopping", None),
        ("model.bias=false", "model", "bias", False),
        ("publish.to=a=b", "publish", "to", "a=b"),
        ("evaluate.bless=[{metric: rmse, below: 2}]", "evaluate", "bless", None),
    ],
)
def test_override_replaces_file_value(tmp_path: Path, override: str, section: str, key: str, value: Any) -> None:
    tree = {"name": "films", "data": {"path": "d"}, "train": {"epochs": 9, "seed": 4}}
    config = load_config(write(tmp_path, tree), [override])
    if key == "bless":
        assert [rule.below for rule in config.evaluate.bless] == [2]
    else:
        assert getattr(getattr(config, section), key) == value
    assert config.train.seed == 4


def test_last_override_wins_and_may_add_section(tmp_path: Path) -> None:
    path = write(tmp_path, {"name": "films", "data": {"path": "d"}, "train": {"early_stopping": None}})
    config = load_config(path, ["train.epochs=5", "train.epochs=6", "train.early_stopping.patience=7"])
    assert config.train.epochs == 6
    assert config.train.early_stopping is not None and config.train.early_stopping.patience == 7


@pytest.mark.parametrize(
    "override",
    ["train.epochs", "=5", "train.=5", ".epochs=5", "train..epochs=5", "", "name.x=1", "evaluate.bless.0.below=1"],
)
def test_malformed_override_is_refused(tmp_path: Path, override: str) -> None:
    path = write(tmp_path, {"name": "films", "data": {"path": "d"}, "evaluate": {"bless": []}})
    with pytest.raises(ConfigError) as refused:
        load_config(path, [override])
    assert str(refused.value).startswith(f"--set {override!r}: ")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.epochs=many", "train.epochs: must be a valid integer (got 'many')"),
        ("train.epoch=5", "train.epoch: unknown key"),
        ("train.epochs=[1", "not valid YAML"),
    ],
)
def test_override_is_validated(tmp_path: Path, override: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(write(tmp_path, {"name": "films", "data": {"path": "d"}}), [override])
    assert said in str(refused.value)


def test_relative_paths_are_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "shell").mkdir()
    monkeypatch.chdir(tmp_path / "shell")
    tree = {"name": "films", "data": {"path": "../d/*.csv"}, "schema": "s.pbtxt"}
    path = write(tmp_path / "files", tree).relative_to(tmp_path)
    for given_path in (tmp_path / path, Path("..") / path):
        config = load_config(given_path)
        assert Path(config.data.path).is_absolute()
        assert Path(config.data.path).resolve() == tmp_path / "d" / "*.csv"
        assert config.schema_path == str(tmp_path / "files" / "s.pbtxt")
    assert load_config(tmp_path / path, data_path="x.csv").data.path == str(tmp_path / "shell" / "x.csv")
    assert load_config(tmp_path / path, ["data.path=o.csv"]).data.path == str(tmp_path / "files" / "o.csv")
    assert load_config(tmp_path / path, ["data.path=/o.csv"]).data.path == "/o.csv"


def test_url_of_schema_stays_unchanged(tmp_path: Path) -> None:
    path = write(tmp_path, {"name": "films", "data": {"path": "x.csv"}, "schema": "gs://b/../s.pbtxt"})
    assert load_config(path).schema_path == "gs://b/../s.pbtxt"


@pytest.mark.parametrize(
    "url", ["s3://b/x.csv", "gs://b/d/*.csv", "az://b/{SPAN}/x", "abfs://b@a.dfs.core.windows.net/x"]
)
def test_url_of_objects_stays_unchanged(tmp_path: Path, url: str) -> None:
    path = write(tmp_path, {"name": "films", "data": {"path": url}})
    assert load_config(path).data.path == url


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("https://h/x.csv", "must be a path on this machine, or a URL .*Download"),
        ("hdfs://h/x", "must be a path on this machine, or a URL .*Download"),
        ("gs://b/../d/*.csv", "must have no empty part"),
        ("s3:///x", "must have the form s3://BUCKET/KEY"),
    ],
)
def test_other_url_is_refused_without_network(tmp_path: Path, url: str, rule: str) -> None:
    path = write(tmp_path, {"name": "films", "data": {"path": url}})
    with pytest.raises(ConfigError, match=rf"data\.path: {rule}"):
        load_config(path)
    path = write(tmp_path, {"name": "films", "data": {"path": "x.csv"}, "evaluate": {"candidates": url}})
    with pytest.raises(ConfigError, match=r"evaluate\.candidates: must be a path on this machine"):
        load_config(path)


def test_file_url_and_home_are_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path = write(tmp_path, {"name": "films", "data": {"path": "~/x.csv"}})
    assert load_config(path).data.path == str(tmp_path / "home" / "x.csv")
    assert load_config(path, data_path="file:///data/a%20b.csv").data.path == "/data/a b.csv"
    assert load_config(path, data_path="file://localhost/data/x.csv").data.path == "/data/x.csv"


def test_data_option_replaces_missing_path(tmp_path: Path) -> None:
    for tree in ({"name": "films"}, {"name": "films", "data": {}}, {"name": "films", "data": None}):
        assert load_config(write(tmp_path, tree), data_path="/x.csv").data.path == "/x.csv"


@pytest.mark.parametrize("text", ["", "- name", "name", "3", "null"])
def test_non_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"p\.yaml: a pipeline file is a mapping"):
        load_config(path)


def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9")
    for path, said in (
        (tmp_path / "none.yaml", "no such pipeline file"),
        (tmp_path, "cannot be read"),
        (tmp_path / "latin.yaml", "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=said) as refused:
            load_config(path)
        assert str(refused.value).startswith(f"{path}: ")


def test_validation_does_not_import_tensorflow() -> None:
    program = "import pipeline.config, sys; print(*{'tensorflow', 'tfx', 'keras', 'apache_beam'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "\n"
