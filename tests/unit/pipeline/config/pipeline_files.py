"""Pipeline files for tests, and the message of a refused one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from errors import ConfigError
from pipeline.config import PipelineConfig, load_config, yaml_file

DATAFLOW = {
    "project": "kind-red-1",
    "region": "europe-west4",
    "temp_location": "gs://bucket/temp",
    "image": "r/kindred:1",
}


def write(folder: Path, tree: object) -> Path:
    path = folder / "pipeline.yaml"
    # ASCII only. PyYAML writes some Unicode line ends that it cannot read back.
    path.write_text(yaml_file.dump(tree), encoding="ascii")
    return path


def full_tree() -> dict[str, Any]:
    """Returns a file with every key at its default, except sections `kubeflow` and `beam`, which have other tests."""
    tree = PipelineConfig.model_validate({"name": "films", "data": {"path": "/d.csv"}}).to_json()
    del tree["kubeflow"], tree["beam"]
    return tree


def positives(**sections: Any) -> dict[str, Any]:
    return {"name": "films", "data": {"path": "/d.csv", "columns": {"left": "u", "right": "f"}}, **sections}


def put(tree: Any, key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for part in parents:
        tree = tree[int(part) if isinstance(tree, list) else part]
    tree[int(last) if isinstance(tree, list) else last] = value


def refusal(folder: Path, tree: object) -> str:
    with pytest.raises(ConfigError) as refused:
        load_config(write(folder, tree))
    assert refused.value.exit_code == 2
    return str(refused.value)
