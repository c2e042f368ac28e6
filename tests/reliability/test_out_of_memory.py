"""A process that the kernel kills because the limit of its cgroup is reached. The next command reports it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from kindred import cgroup
from pipeline.records.progress import headline, is_alive, ran_out_of_memory
from pipeline.records.run_folder import RunFolder

_UNENDED = {
    "pipeline": "films", "run_id": "1", "status": "failed", "started": "2026-11-25T22:07:01+00:00", "components": [],
}  # fmt: skip
_RUN = """
import os, pathlib, signal, sys
pathlib.Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
from pipeline.records.progress import marked_alive
from pipeline.records.run_folder import RunFolder
with marked_alive(RunFolder(pathlib.Path(sys.argv[2]))):
    if sys.argv[3] == "eats":
        eaten = [bytearray(b"x" * 10_000_000) for _ in range(100)]
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def limited() -> Iterator[Path]:
    """A cgroup of 200 MB, if this user may create one."""
    name = f"kindred-{uuid.uuid4().hex[:8]}"
    for parent, limit in ((Path("/sys/fs/cgroup/memory"), "limit_in_bytes"), (Path("/sys/fs/cgroup"), "max")):
        group = parent / name
        try:
            if not (parent / "cgroup.procs").exists():
                continue
            group.mkdir()
            (group / f"memory.{limit}").write_text("200000000")
        except OSError:
            with contextlib.suppress(OSError):
                group.rmdir()
            continue
        yield group
        group.rmdir()
        return
    pytest.skip("only root can create a cgroup with a memory limit")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("eats", "films 1: killed by the kernel, because memory ran out"),
        ("is killed", "films 1: killed, or its machine stopped"),
    ],
)
def test_kill_for_lack_of_memory_is_reported(tmp_path: Path, limited: Path, how: str, words: str) -> None:
    folder = RunFolder(tmp_path / "root" / "runs" / "1")
    folder.path.mkdir(parents=True)
    folder.summary.write_text(json.dumps(_UNENDED))
    done = subprocess.run([sys.executable, "-c", _RUN, str(limited), str(folder.path), how], check=False)
    assert done.returncode == -signal.SIGKILL
    assert is_alive(folder) is False
    assert headline(folder) == words


def test_other_cgroup_of_the_same_name_does_not_count(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    events = tmp_path / "memory.events"
    events.write_text("oom_kill 5\n")
    noted = {"file": str(events), "inode": os.stat(events).st_ino, "kills": 4}
    folder.kills.write_text(json.dumps(noted))
    assert cgroup.kills(events) == 5 and ran_out_of_memory(folder)
    folder.kills.write_text(json.dumps(noted | {"inode": 1}))
    assert not ran_out_of_memory(folder)
    for text in ("", "{}", "[]", '{"file": 3}'):
        folder.kills.write_text(text)
        assert not ran_out_of_memory(folder)
    folder.kills.unlink()
    assert not ran_out_of_memory(folder)
