"""TensorFlow is found under the names of all its builds."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from compat.distributions import version
from pipeline.beam.probe import versions
from pipeline.commands.doctor.versions import installed_versions


def installed(folder: Path, name: str, number: str) -> None:
    metadata = folder / f"{name.replace('-', '_')}-{number}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")


def test_build_for_cpus_counts_as_tensorflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "tensorflow-cpu", "2.99.1")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert version("tensorflow") == "2.99.1"
    assert versions()["tensorflow"] == "2.99.1"
    assert installed_versions() == {"tensorflow": "2.99.1", "tensorflow-cpu": "2.99.1"}


def test_distribution_of_the_name_itself_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "tensorflow-cpu", "2.99.1")
    installed(tmp_path, "tensorflow", "2.98.0")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert version("tensorflow") == versions()["tensorflow"] == installed_versions()["tensorflow"] == "2.98.0"


@pytest.mark.parametrize("name", ["tensorflow", "keras"])
def test_missing_distribution_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    with pytest.raises(
        importlib.metadata.PackageNotFoundError, match="tensorflow-cpu" if name == "tensorflow" else name
    ):
        version(name)
