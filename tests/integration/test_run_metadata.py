"""ML Metadata of a run: one connection, a write-ahead log meanwhile, a single file afterwards."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata

from pipeline.running import run_metadata

pytestmark = pytest.mark.tensorflow


def journal(file: Path) -> str:
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


def put(handle: metadata.Metadata, name: str) -> None:
    with handle as connected:
        connected.store.put_context_type(metadata_store_pb2.ContextType(name=name))


def names(file: Path) -> set[str]:
    with metadata.Metadata(metadata.sqlite_metadata_connection_config(str(file))) as connected:
        return {kind.name for kind in connected.store.get_context_types()}


def test_all_uses_share_a_connection(tmp_path: Path) -> None:
    with run_metadata.opened(tmp_path / "metadata.sqlite") as handle:
        with handle as first, handle as nested:
            assert first.store is nested.store
        with handle as again:
            assert again.store is first.store
    with pytest.raises(RuntimeError, match="not in enter state"):
        _ = handle.store


def test_changes_are_in_a_single_file_after_the_run(tmp_path: Path) -> None:
    file = tmp_path / "metadata.sqlite"
    for name in ("one", "two"):
        with run_metadata.opened(file) as handle:
            put(handle, name)
            assert Path(f"{file}-wal").exists()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["metadata.sqlite", "metadata.sqlite.backup"]
        assert journal(file) == "delete"
    assert names(file) >= {"one", "two"}


def test_a_failed_run_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "metadata.sqlite"
    with contextlib.suppress(ValueError), run_metadata.opened(file) as handle:
        put(handle, "kept")
        raise ValueError("a node failed")
    assert "kept" in names(file)
    with run_metadata.opened(file) as handle:
        put(handle, "next")
    assert (journal(file), names(file) >= {"kept", "next"}) == ("delete", True)


def test_a_killed_run_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "metadata.sqlite"
    script = f"""
import os, signal
from pathlib import Path
from pipeline.running import run_metadata
from tests.integration.test_run_metadata import put
with run_metadata.opened(Path({str(file)!r})) as handle:
    put(handle, "kept")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == -9
    assert Path(f"{file}-wal").stat().st_size > 0
    assert "kept" in names(file)
