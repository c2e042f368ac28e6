"""Directories of tasks respect the umask, unlike TensorFlow's."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import tensorflow as tf
from tfx.dsl.io import fileio, filesystem
from tfx.dsl.io.filesystem_registry import FilesystemRegistry
from tfx.dsl.io.plugins.tensorflow_gfile import TensorflowFilesystem

from pipeline.kubeflow import shared_files

pytestmark = pytest.mark.tensorflow


@pytest.fixture(autouse=True)
def _shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    registry = FilesystemRegistry()
    registry.register(TensorflowFilesystem, priority=10, use_as_fallback=True)
    monkeypatch.setattr(shared_files, "DEFAULT_FILESYSTEM_REGISTRY", registry)
    monkeypatch.setattr(fileio.filesystem_registry, "DEFAULT_FILESYSTEM_REGISTRY", registry)
    before = os.umask(0o002)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_tensorflow_ignores_the_umask(tmp_path: Path) -> None:
    """If this fails, pipeline.kubeflow.shared_files is no longer needed."""
    tf.io.gfile.makedirs(str(tmp_path / "a"))
    fileio.makedirs(str(tmp_path / "b"))
    assert mode(tmp_path / "a") == mode(tmp_path / "b") == 0o755


def test_every_directory_is_writable_for_the_group(tmp_path: Path) -> None:
    shared_files.share_directories()
    fileio.makedirs(str(tmp_path / "a" / "b"))
    fileio.makedirs(str(tmp_path / "a" / "b"))
    fileio.mkdir(str(tmp_path / "a" / "c"))
    assert [mode(path) for path in (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "c")] == [0o775] * 3
    with pytest.raises(filesystem.NotFoundError):
        fileio.mkdir(str(tmp_path / "absent" / "d"))


def test_urls_stay_with_tensorflow(tmp_path: Path) -> None:
    shared_files.share_directories()
    registry = shared_files.DEFAULT_FILESYSTEM_REGISTRY
    assert registry.get_filesystem_for_path("gs://bucket/a") is TensorflowFilesystem
    assert registry.get_filesystem_for_path(str(tmp_path)) is shared_files.SharedFilesystem
