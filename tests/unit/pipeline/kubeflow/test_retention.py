"""Pruning by the exit task: the same as that of local runs, and never while another run is in progress."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from components.pusher.local import LocalVersions
from pipeline.config.sections.keep import Keep
from pipeline.kubeflow import retention
from pipeline.kubeflow.retention import Busy, prune
from pipeline.running import pruning
from tests.unit.pipeline.running.test_pruning import Planted

pytestmark = pytest.mark.tensorflow


def _days_ago(days: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - days * 86400))


def _planted(path: Path) -> Planted:
    """Runs 1 to 6: an accepted one, a blessed one, a published one, and a cached one that has the artifact of run 1."""
    planted = Planted(path, 0)
    accepted = [{"id": "DataGate", "state": "executed"}]
    for number, more in enumerate([{}, {"components": accepted}, {"blessed": True}, {"published": "serving/7"}, {}], 1):
        planted.artifacts[number] = planted.run(number, "tuned", started=_days_ago(10 - number), **more)
    planted.run(6, "tuned", reuses=1, started=_days_ago(4))
    version = LocalVersions(path / "serving").directory / "7"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_text("graph")
    leftover = planted.root.artifacts / "Trainer" / "model" / "99"
    leftover.mkdir()
    (leftover / "weights").write_text("of a killed execution")
    system = planted.root.artifacts / "Trainer" / ".system" / "executor_execution"
    for number in (1, 99):
        (system / str(number)).mkdir(parents=True)
        (system / str(number) / "out").write_text("x")
    return planted


def _state(planted: Planted) -> Any:
    system = planted.root.artifacts / "Trainer" / ".system" / "executor_execution"
    return planted.models(), planted.live(), planted.reports(), sorted(path.name for path in system.iterdir())


@pytest.mark.parametrize("keep", [Keep(runs=1), Keep(runs=3), Keep(days=7), Keep(runs=9)])
def test_the_same_is_kept_as_by_local_runs(tmp_path: Path, keep: Keep) -> None:
    here, cluster = _planted(tmp_path / "here"), _planted(tmp_path / "cluster")
    expected = pruning.prune(here.root, pruning.Kept(keep.runs, keep.days))
    removed = prune(cluster.root, keep, cluster.store)
    assert _state(cluster) == _state(here)
    assert 99 not in cluster.models() and 1 in cluster.models()
    assert removed.counts == {name: expected.counts[name] for name in removed.counts}
    records = [path.parent.name for path in cluster.root.runs.glob("*/summary.json")]
    assert sorted(records) == list("123456"), "records stay"


def test_runs_are_ordered_by_time_not_by_id(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "root", 0)
    for number in range(1, 6):
        planted.artifacts[number] = planted.run(number, "tuned", started=_days_ago(number))
    prune(planted.root, Keep(runs=2), planted.store)
    assert planted.models() == planted.live() == [1, 2, 5], "5 is the last execution, which the cache finds"
    assert planted.reports() == [1, 2]


def test_nothing_is_removed_while_a_run_is_in_progress(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "root", 4)
    planted.run(9, "running")
    before = _state_of(planted)
    with pytest.raises(Busy, match="run 9 is in progress"):
        prune(planted.root, Keep(runs=1), planted.store)
    assert _state_of(planted) == before


def test_marks_are_taken_back_for_a_run_that_has_just_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have read ML Metadata before the marks."""
    planted, mark = Planted(tmp_path / "root", 4), retention.mark

    def begin(store: Any, artifacts: Any, deleted: bool) -> None:
        mark(store, artifacts, deleted)
        if deleted:
            assert planted.live() == [4]
            (planted.root.runs / "9" / "tasks").mkdir(parents=True)
            (planted.root.runs / "9" / "tasks" / "PairExampleGen.json").write_text("{}")

    monkeypatch.setattr(retention, "mark", begin)
    before = _state_of(planted)
    with pytest.raises(Busy, match="run 9 is in progress"):
        prune(planted.root, Keep(runs=1), planted.store)
    assert _state_of(planted) == before


def test_a_run_that_lost_its_exit_task_does_not_block_for_ever(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "root", 4)
    planted.run(9, "running", started=_days_ago(9))
    for file in (planted.root.runs / "9").iterdir():
        os.utime(file, (time.time() - 8 * 86400,) * 2)
    prune(planted.root, Keep(runs=1), planted.store)
    assert 1 not in planted.models()


def test_metrics_of_all_runs_are_not_a_run(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "root", 3)
    (planted.root.runs / "metrics.prom").write_text("x")
    assert prune(planted.root, Keep(runs=1), planted.store).counts["artifacts"] == 2


def _state_of(planted: Planted) -> Any:
    return planted.models(), planted.live(), planted.reports()
