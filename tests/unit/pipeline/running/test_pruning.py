"""Pruning removes what nothing needs, and nothing else, from a root with planted runs."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2

import compat
import components
import pipeline
import trainer
from components.batch_lists.folder import Manifest
from components.pusher.local import LocalVersions
from errors import ReportError
from kindred.api.runs import runs
from pipeline.records.history import runs_of
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder
from pipeline.report.index import write_index
from pipeline.running.pruning import LEFTOVERS, Kept, prune

pytestmark = pytest.mark.tensorflow

_Execution, _Event = metadata_store_pb2.Execution, metadata_store_pb2.Event


class Planted:
    """A root with runs 1 to `count` of one node, each with an artifact, a report and a log."""

    def __init__(self, path: Path, count: int, status: str = "tuned") -> None:
        self.root = Root(path)
        path.mkdir()
        connection = metadata_store_pb2.ConnectionConfig()
        connection.sqlite.filename_uri = str(self.root.metadata)
        connection.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        self.store = mlmd.MetadataStore(connection)
        self._artifact = self.store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Model"))
        self._execution = self.store.put_execution_type(metadata_store_pb2.ExecutionType(name="Trainer"))
        self._contexts = {
            name: self.store.put_context_type(metadata_store_pb2.ContextType(name=name))
            for name in ("pipeline_run", "node")
        }
        self.artifacts = {number: self.run(number, status) for number in range(1, count + 1)}

    def run(self, number: int, status: str, reuses: int | None = None, **more: object) -> int:
        """Plants a run, and returns the id of its artifact, which is that of run `reuses` for a cached execution."""
        folder = self.root.runs / str(number)
        folder.mkdir(parents=True)
        summary = {"status": status, "run_id": str(number), "components": [], "started": _days_ago(0), **more}
        (folder / "summary.json").write_text(json.dumps(summary))
        (folder / "report.html").write_text("report")
        (folder / "run.log").write_text("log")
        return self._execute(number, reuses)

    def _execute(self, number: int, reuses: int | None) -> int:
        state = _Execution.COMPLETE if reuses is None else _Execution.CACHED
        execution = _Execution(type_id=self._execution, last_known_state=state)
        if reuses is None:
            uri = self.root.artifacts / "Trainer" / "model" / str(number)
            uri.mkdir(parents=True)
            (uri / "weights").write_text("x" * 1000)
            artifact = metadata_store_pb2.Artifact(
                type_id=self._artifact, uri=str(uri), state=metadata_store_pb2.Artifact.LIVE
            )
        else:
            (artifact,) = self.store.get_artifacts_by_id([self.artifacts[reuses]])
        contexts = [
            metadata_store_pb2.Context(type_id=self._contexts["pipeline_run"], name=str(number)),
            self.store.get_context_by_type_and_name("node", "films.Trainer")
            or metadata_store_pb2.Context(type_id=self._contexts["node"], name="films.Trainer"),
        ]
        event = _Event(type=_Event.OUTPUT)
        event.path.steps.add().key = "model"
        _, artifacts, _ = self.store.put_execution(execution, [(artifact, event)], contexts)
        return int(artifacts[0])

    def models(self) -> list[int]:
        return sorted(int(path.name) for path in (self.root.artifacts / "Trainer" / "model").iterdir())

    def live(self) -> list[int]:
        found = self.store.get_artifacts_by_id(list(self.artifacts.values()))
        ids = {a.id for a in found if a.state == metadata_store_pb2.Artifact.LIVE}
        return [number for number, id_ in self.artifacts.items() if id_ in ids]

    def reports(self) -> list[int]:
        return sorted(int(path.parent.name) for path in self.root.runs.glob("*/report.html"))


def _days_ago(days: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - days * 86400))


def test_lists_of_removed_versions_are_removed(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "root", 2)
    (planted.root.path / "serving" / "2").mkdir(parents=True)
    (planted.root.path / "serving" / ".withdrawn-3").mkdir()
    for version in ("1", "2", "3"):
        lists = planted.root.lists / version
        lists.mkdir(parents=True)
        Manifest("key", int(version), "films", {}, {}, {}).write(lists)
    (planted.root.lists / "4").mkdir()
    assert prune(planted.root, Kept(runs=2), dry_run=True).counts["old lists"] == 1
    assert prune(planted.root, Kept(runs=2)).counts["old lists"] == 1
    assert sorted(path.name for path in planted.root.lists.iterdir()) == ["2", "3", "4"], "4 is of somebody else"


def test_newest_runs_are_kept(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "root", 5)
    removed = prune(planted.root, Kept(runs=2))
    assert planted.models() == planted.live() == planted.reports() == [4, 5]
    counts = {"artifacts": 3, "old reports and logs": 6, "old lists": 0, "leftovers": 0, "executions": 3}
    assert removed.counts == counts
    assert removed.size == 3 * (1000 + len("report") + len("log"))
    assert sorted(path.name for path in planted.root.runs.iterdir()) == list("12345"), "records stay"
    assert all((planted.root.runs / name / "summary.json").is_file() for name in "12345")
    assert prune(planted.root, Kept(runs=2)).counts["artifacts"] == 0, "nothing is left to remove"


def test_dry_run_only_counts(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "root", 4)
    counted = prune(planted.root, Kept(runs=1), dry_run=True)
    assert planted.models() == planted.live() == planted.reports() == [1, 2, 3, 4]
    assert counted == prune(planted.root, Kept(runs=1))
    assert str(counted).startswith("3 artifacts, 6 old reports and logs, 3 executions (0.0 MB)")


def test_artifact_that_a_kept_run_reuses_is_kept(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "root", 3)
    planted.run(4, "tuned", reuses=1)
    prune(planted.root, Kept(runs=1))
    # Run 3 is the last execution that wrote, but the cached one of run 4 is the last that the cache finds.
    assert planted.models() == planted.live() == [1]


def test_executions_that_only_reused_an_artifact_go(tmp_path: Path) -> None:
    """Otherwise, a node that each run finds in the cache, or that imports the same file, would add one in each run."""
    planted = Planted(tmp_path / "root", 1)
    for number in range(2, 10):
        planted.run(number, "tuned", reuses=1)
    prune(planted.root, Kept(runs=2))
    maker, *others = sorted(execution.id for execution in planted.store.get_executions())
    assert [maker, *others] == [1, 8, 9]
    assert planted.models() == [1] == planted.live()


def test_records_are_read_once_by_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a run would otherwise grow with their number several times over. A changed record is read again."""
    planted, reads = Planted(tmp_path / "root", 30), []
    read = RunFolder.read_summary
    monkeypatch.setattr(RunFolder, "read_summary", lambda folder: reads.append(folder.path.name) or read(folder))
    prune(planted.root, Kept(runs=3))
    write_index(planted.root)
    assert sorted(reads, key=int) == [str(number) for number in range(1, 31)]
    record = planted.root.runs / "7" / "summary.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"status": "model_refused"}))
    assert [run.state for run in runs_of(planted.root) if run.folder.path.name == "7"] == ["model refused"]
    assert reads[30:] == ["7"]


def test_records_that_callers_change_are_not_shared(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "root", 1)
    (run,) = runs(planted.root.path)
    assert isinstance(run.summary, dict)
    run.summary["status"] = "changed"
    assert runs(planted.root.path)[0].summary["status"] == "tuned"


def test_runs_of_versions_are_kept(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "root", 0)
    versions = LocalVersions(str(planted.root.path / "serving"), "films")
    for number in (1, 2, 3, 4, 5, 6):
        published = f"serving/{number}" if number < 4 else None
        planted.artifacts[number] = planted.run(number, "published" if published else "tuned", published=published)
        if published:
            versions.publish(str(planted.root.artifacts / "Trainer" / "model" / str(number)))
    versions.withdraw(3)
    versions.retire(1)
    prune(planted.root, Kept(runs=1))
    assert planted.models() == planted.reports() == [2, 3, 6]


def test_models_and_data_of_the_next_comparison_are_kept(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "root", 0)
    gate = [{"id": "DataGate", "state": "executed"}]
    states = {1: {"blessed": True}, 2: {"blessed": True}, 3: {"blessed": True}, 4: {"components": gate}, 5: {}, 6: {}}
    for number, more in states.items():
        planted.artifacts[number] = planted.run(number, "failed", error="stopped", **more)
    prune(planted.root, Kept(runs=1))
    assert planted.models() == [2, 3, 4, 6]


def test_runs_are_kept_up_to_an_age(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "root", 0)
    for number, days in ((1, 40), (2, 31), (3, 29), (4, 1)):
        planted.artifacts[number] = planted.run(number, "tuned", started=_days_ago(days))
    prune(planted.root, Kept(days=10**9))
    assert planted.models() == [1, 2, 3, 4]
    prune(planted.root, Kept(days=30))
    assert planted.models() == [3, 4]


def test_folders_without_an_artifact_are_removed(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "root", 2)
    orphan = planted.root.artifacts / "Trainer" / "model_run" / "77"
    kept = planted.root.artifacts / "Trainer" / "search"
    for folder in (orphan, kept):
        folder.mkdir(parents=True)
        (folder / "choice.json").write_text("{}")
    prune(planted.root, Kept(runs=9))
    assert not orphan.exists() and (kept / "choice.json").exists()
    assert planted.models() == [1, 2]


def test_old_leftovers_of_killed_publishers_are_removed(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "root", 1)
    old, fresh = (planted.root.path / "serving" / f".staging-{name}" for name in ("old", "new"))
    for folder in (old, fresh):
        folder.mkdir(parents=True)
    os.utime(old, (0, time.time() - 25 * 3600))
    assert prune(planted.root, Kept(runs=1)).counts["leftovers"] == 1
    assert not old.exists() and fresh.exists()


def test_files_that_killed_processes_were_writing_are_removed(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "root", 1)
    root, mine = planted.root.path, planted.root.runs / "1"
    old = [
        root / ".metadata.sqlite.backup.77", root / ".metadata.sqlite.77", root / ".index.html.0a",
        planted.root.runs / ".metrics.prom.0a", mine / "summary.0a.staged", mine / "report.0a.staged",
    ]  # fmt: skip
    kept = [root / "metadata.sqlite", mine / "summary.json", root / ".notes.txt"]
    for path in old:
        path.write_text("half")
        os.utime(path, (0, time.time() - 25 * 3600))
    (root / ".notes.txt").write_text("mine")
    fresh = mine / "summary.1b.staged"
    fresh.write_text("now")
    assert prune(planted.root, Kept(runs=1)).counts["leftovers"] == len(old)
    assert not [path for path in old if path.exists()]
    assert all(path.exists() for path in (*kept, fresh))


def test_working_folders_of_drivers_are_removed(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "root", 1)
    system = planted.root.artifacts / "Trainer" / ".system"
    for kind in ("driver_execution/1795885108711599", "stateful_working_dir/run"):
        (system / kind).mkdir(parents=True)
    prune(planted.root, Kept(runs=1))
    assert not list(system.glob("*/*"))


def test_folders_of_others_and_links_stay(tmp_path: Path) -> None:
    """Someone put photos beside the nodes, moved a node to another disk, and linked to what is precious."""
    planted = Planted(tmp_path / "root", 3)
    photos = tmp_path / "photos" / "album" / "2015"
    photos.mkdir(parents=True)
    (planted.root.artifacts / "photos").symlink_to(tmp_path / "photos")
    (planted.root.artifacts / "holidays" / "album" / "2016").mkdir(parents=True)
    (planted.root.artifacts / "Trainer" / "model" / "2017").symlink_to(photos)
    leftover = planted.root.path / "serving" / ".staging-link"
    leftover.parent.mkdir()
    leftover.symlink_to(photos)
    os.utime(leftover, (0, 0), follow_symlinks=False)
    os.utime(photos, (0, 0))
    assert prune(planted.root, Kept(runs=1)).counts["leftovers"] == 0
    assert planted.models() == [3, 2017]
    assert photos.is_dir() and (planted.root.artifacts / "holidays" / "album" / "2016").is_dir()


def test_each_temporary_folder_of_the_program_is_a_known_leftover() -> None:
    packages = [Path(module.__file__ or "").parent for module in (compat, components, pipeline, trainer)]
    sources = [file.read_text(encoding="utf-8") for folder in packages for file in folder.rglob("*.py")]
    prefixes = {found for source in sources for found in re.findall(r'prefix="(kindred-[a-z-]+)"', source)}
    assert prefixes == set(LEFTOVERS)


def test_root_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="no run is recorded"):
        prune(Root(tmp_path), Kept(runs=1))
