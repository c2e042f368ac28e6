"""The output of `kindred submit` about a run, against a fake server that follows Kubeflow's sources."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pipeline.kubeflow.task_log import node_line
from pipeline.running.console import RunConsole
from tests.unit.pipeline.kubeflow.fake_kubeflow import FakeKubeflow
from tests.unit.pipeline.kubeflow.fake_workflow import Attempt, FakeTask, FakeWorkflow, done, running
from tests.unit.pipeline.kubeflow.films_run import (
    ALL,
    DATA,
    REASON,
    REFUSED,
    TRAINER,
    at,
    lines,
    published,
    published_run,
    refused,
    refused_run,
    states,
)


def test_line_per_node_when_task_ends(submit: Any, server: FakeKubeflow) -> None:
    server.script = [
        {"state": "PENDING"},
        at("RUNNING", FakeTask("data", "Pending")),
        at("RUNNING", running("data")),
        at("RUNNING", done("data", *DATA), running("trainer", "epoch 1")),
        at("RUNNING", done("data", *DATA), done("trainer", *TRAINER), running("runreport")),
        published_run(),
    ]
    code, out, err = submit()
    assert code == 0, err
    assert lines(err) == ALL
    assert re.search(r"PairExampleGen +executed +4\.0 s  990 rows$", err, flags=re.MULTILINE)
    (run_id,) = server.runs
    assert out.splitlines() == [run_id]
    assert f"run {run_id}: published serving/1" in err
    for place in ("serving/1", "runs/RUN/summary.json", "runs/RUN/report.html"):
        assert f"/kindred/films/{place}" in err


def test_lines_appear_while_their_task_runs(submit: Any, server: FakeKubeflow, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    server.is_user_interface = True
    server.script = [at("RUNNING", running("data", *DATA[:count])) for count in (0, 1, 2)]
    server.script.append(at("SUCCEEDED", done("data", *DATA), published()))
    finished = RunConsole.finished

    def noting(self: RunConsole, node_id: str, *more: Any) -> None:
        seen.append([node_id, str(len(server.script))])
        finished(self, node_id, *more)

    monkeypatch.setattr(RunConsole, "finished", noting)
    assert submit()[0] == 0
    assert seen[:2] == [["PairExampleGen", "2"], ["DataGate", "1"]]


def test_task_missing_in_details_is_printed(submit: Any, server: FakeKubeflow) -> None:
    before = FakeWorkflow(done("data", *DATA), running("trainer"))
    server.script = [
        {"state": "RUNNING", "workflow": before},
        at("SUCCEEDED", done("data", *DATA), done("trainer", *TRAINER), published(), details=before),
    ]
    code, _, err = submit()
    assert code == 0 and lines(err) == ALL


def test_cached_node_is_printed_as_cached(submit: Any, server: FakeKubeflow) -> None:
    server.script = [at("SUCCEEDED", done("trainer", node_line("Trainer", "cached", 0.1)), published())]
    assert ("Trainer", "cached") in lines(submit()[2])


def test_refused_run_prints_full_reason(submit: Any, server: FakeKubeflow) -> None:
    server.script = [refused_run(done("trainer", *TRAINER))]
    code, out, err = submit()
    (run_id,) = server.runs
    assert code == 1 and out.splitlines()[-1] == run_id
    assert f"run {run_id}: model refused\n{REASON}\n" in err
    assert "/kindred/films/runs/RUN/summary.json" in err and "/kindred/films/runs/RUN/report.html" in err
    assert lines(err) == ALL[:3], "neither Refused nor RunReport is a node"
    assert err.count("NOT MET") == 1


def test_workflow_gives_reason_without_logs(submit: Any, server: FakeKubeflow) -> None:
    server.script = [at("FAILED", done("data"), REFUSED, refused())]
    server.log_misses = 1000
    code, _, err = submit()
    assert code == 1
    assert f"failed\n{REASON}\n" in err
    assert lines(err) == states(Data="succeeded"), "whether it was executed or cached is not known"
    assert "cannot be read" in err and "kubectl -n team logs films-x7k2p-system-container-impl-" in err


def test_failure_is_printed_after_last_attempt(submit: Any, server: FakeKubeflow) -> None:
    first = Attempt("Failed", node_line("Trainer", "failed", 3.0, "metadata away"))
    retried = FakeTask("trainer", "Running", (first, Attempt("Running", "I1125 launcher")))
    better = FakeTask("trainer", "Succeeded", (first, Attempt("Succeeded", TRAINER[0])))
    server.script = [at("RUNNING", retried), at("RUNNING", better), at("SUCCEEDED", better, published())]
    assert ("Trainer", "failed") not in lines(submit()[2])
    second = Attempt("Failed", node_line("Trainer", "failed", 4.0, "still away"))
    worse = FakeTask("trainer", "Failed", (first, second))
    server.script = [at("RUNNING", retried), at("FAILED", worse)]
    err = submit()[2]
    assert lines(err) == states(Trainer="failed") and "still away" in err


def test_failed_driver_gives_reason(submit: Any, server: FakeKubeflow) -> None:
    task = FakeTask("data", "Omitted", driver_message="main: Error (exit code 1): no claim named kindred")
    server.script = [at("FAILED", task)]
    err = submit()[2]
    assert lines(err) == states(Data="failed") and "data: no claim named kindred" in err


def test_unreached_nodes_get_no_line(submit: Any, server: FakeKubeflow) -> None:
    failed = FakeTask("data", "Failed", (Attempt("Failed", node_line("DataGate", "failed", 1.0)),))
    server.script = [at("FAILED", failed, FakeTask("trainer", "Omitted"))]
    assert lines(submit()[2]) == states(DataGate="failed", Trainer="skipped")


@pytest.mark.parametrize("known_by", ["state seen", "history", "deadline", "state at the end"])
def test_cancelled_run_is_reported_as_cancelled(submit: Any, server: FakeKubeflow, known_by: str) -> None:
    task = done("data", *DATA)
    server.script = [at("FAILED", task)]
    if known_by == "state seen":
        server.script.insert(0, at("CANCELING", task))
    elif known_by == "history":
        server.script[0]["state_history"] = [{"state": "RUNNING"}, {"state": "CANCELING"}, {"state": "FAILED"}]
    elif known_by == "deadline":
        server.script[0]["workflow"] = FakeWorkflow(task, phase="Failed", is_terminated=True)
    else:
        server.script = [at("CANCELED", task)]
    code, out, err = submit()
    (run_id,) = server.runs
    assert (code, out.splitlines()[-1]) == (1, run_id)
    assert f"run {run_id}: cancelled" in err and lines(err) == ALL[:2]
    assert "cannot be read" not in err, "there is no record"
