"""`kindred runs --host` and `kindred report --host`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.pipeline.kubeflow.conftest import RunKindred
from tests.unit.pipeline.kubeflow.fake_kubeflow import FakeKubeflow
from tests.unit.pipeline.kubeflow.fake_workflow import done, running
from tests.unit.pipeline.kubeflow.films_run import REPORT, at, published_run


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def add_run(server: FakeKubeflow, run_id: str, **fields: Any) -> None:
    server.runs[run_id] = {"run_id": run_id, "display_name": f"films {run_id}", "state": "SUCCEEDED", **fields}


def ended(server: FakeKubeflow, run_id: str = "a") -> str:
    """Adds a run that was published. Returns its report, which Kubeflow has in its storage."""
    add_run(server, run_id, created_at="2026-03-01T10:00:00Z", finished_at="2026-03-01T10:01:30Z")
    server.is_user_interface, server.script = True, [published_run()]
    server.stored[REPORT] = f"<!doctype html>the report of {run_id}"
    return server.stored[REPORT]


def test_runs_are_listed_oldest_first(run_kindred: RunKindred, server: FakeKubeflow) -> None:
    add_run(server, "a", created_at="2026-03-01T10:00:00Z", finished_at="2026-03-01T10:01:30Z")
    add_run(server, "b", state="FAILED", created_at="2026-03-02T10:00:00Z", finished_at="2026-03-02T10:00:05Z")
    add_run(server, "c", state="RUNNING", created_at="2026-03-03T12:00:00+02:00", finished_at="1970-01-01T00:00:00Z")
    code, out, _ = run_kindred("runs", "--json")
    assert code == 0
    assert [list(run.values()) for run in json.loads(out)] == [
        ["a", "films a", "succeeded", "2026-03-01T10:00:00+00:00", 90.0],
        ["b", "films b", "failed", "2026-03-02T10:00:00+00:00", 5.0],
        ["c", "films c", "running", "2026-03-03T10:00:00+00:00", None],
    ]
    head, first, *_ = run_kindred("runs")[1].splitlines()
    assert head.split() == ["run", "name", "state", "created", "seconds"]
    assert first.split() == ["a", "films", "a", "succeeded", "2026-03-01T10:00:00+00:00", "90"]


def test_options_of_submit_reach_the_server(run_kindred: RunKindred, server: FakeKubeflow) -> None:
    server.token, server.multi_user = "t", True
    add_run(server, "a", created_at="2026-03-01T10:00:00Z")
    assert run_kindred("runs", "--token", "t", "--namespace", "team", "--header", "X-A: b")[0] == 0
    assert server.headers[-1]["X-A"] == "b"


def test_server_without_runs_has_next_step(run_kindred: RunKindred, server: FakeKubeflow) -> None:
    code, _, err = run_kindred("runs")
    assert code == 2 and f"`kindred submit --config FILE --host {server.url}` starts one" in err


@pytest.mark.parametrize("variable", ["KINDRED_KFP_HOST", "KINDRED_KFP_NAMESPACE"])
def test_variables_alone_mean_the_root(
    run_kindred: RunKindred, monkeypatch: pytest.MonkeyPatch, server: FakeKubeflow, variable: str
) -> None:
    monkeypatch.setenv(variable, server.url)
    code, _, err = run_kindred("runs", host="")
    assert code == 2 and "no run is recorded below" in err and not server.requests


@pytest.mark.parametrize("command", ["runs", "report"])
def test_root_and_host_are_refused(run_kindred: RunKindred, server: FakeKubeflow, command: str) -> None:
    code, _, err = run_kindred(command, "--root", "films")
    assert code == 2 and "give one" in err and not server.requests


@pytest.mark.parametrize("run", ["a", "latest"])
def test_report_is_downloaded(run_kindred: RunKindred, server: FakeKubeflow, folder: Path, run: str) -> None:
    text = ended(server)
    code, out, err = run_kindred("report", run)
    assert (code, out) == (0, "report-a.html\n"), err
    assert (folder / "report-a.html").read_text() == text
    assert server.log_queries[-1]["namespace"] == "team"
    assert run_kindred("report", run, "--output", "mine.html")[1] == "mine.html\n"


def test_unwritable_output_is_named(run_kindred: RunKindred, server: FakeKubeflow) -> None:
    ended(server)
    code, _, err = run_kindred("report", "a", "--output", "none/mine.html")
    assert code == 2 and "--output none/mine.html: cannot be written" in err


def test_report_of_running_run_is_not_there_yet(run_kindred: RunKindred, server: FakeKubeflow) -> None:
    add_run(server, "a", created_at="2026-03-01T10:00:00Z")
    server.script = [at("RUNNING", running("data"))]
    code, _, err = run_kindred("report", "a")
    assert code == 2 and "is running, and has no report yet" in err
    assert f"`kindred submit --follow a --host {server.url}`" in err


def no_storage(server: FakeKubeflow) -> str:
    server.stored.clear()
    return "copy /kindred/films/runs/a/report.html from the volume"


def another_page(server: FakeKubeflow) -> str:
    server.stored[REPORT] = "<!doctype html>Log in"
    return "the response is another page"


def only_api(server: FakeKubeflow) -> str:
    server.is_user_interface = False
    return "(404)"


def no_log(server: FakeKubeflow) -> str:
    server.log_misses = 1000
    return "the log of RunReport cannot be read"


def no_report_task(server: FakeKubeflow) -> str:
    server.script = [at("FAILED", done("data"))]
    return "the task has no record"


@pytest.mark.parametrize("change", [no_storage, another_page, only_api, no_log, no_report_task])
def test_other_ways_to_the_report_are_named(
    run_kindred: RunKindred, server: FakeKubeflow, folder: Path, change: Any
) -> None:
    ended(server)
    reason = change(server)
    code, out, err = run_kindred("report", "a")
    assert (code, out) == (2, "") and reason in err
    assert f"open {server.url}/#/runs/details/a and the output `report` of the task RunReport" in err
    assert not (folder / "report-a.html").exists()


def test_unknown_run_is_refused(run_kindred: RunKindred, server: FakeKubeflow) -> None:
    code, _, err = run_kindred("report", "none")
    assert code == 2 and "run none" in err and "(404)" in err


@pytest.mark.parametrize(
    ("words", "host", "reason"),
    [(["--why"], None, "--why: needs the root of the run"), (["--output", "x"], "", "--output: is for --host")],
)
def test_options_of_the_other_place_are_refused(
    run_kindred: RunKindred, words: list[str], host: str | None, reason: str
) -> None:
    code, _, err = run_kindred("report", *words, host=host)
    assert code == 2 and reason in err
