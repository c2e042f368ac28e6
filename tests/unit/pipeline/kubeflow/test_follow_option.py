"""`kindred submit --follow`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.pipeline.kubeflow.conftest import RunKindred
from tests.unit.pipeline.kubeflow.fake_kubeflow import FakeKubeflow
from tests.unit.pipeline.kubeflow.fake_workflow import FakeTask, done, running
from tests.unit.pipeline.kubeflow.films_run import ALL, REASON, at, lines, published_run, refused_run, states


def started(submit: Any, server: FakeKubeflow) -> str:
    """Starts a run and returns its id."""
    return str(submit("--no-wait")[1].split()[-1])


@pytest.mark.parametrize("shows_package", [True, False])
def test_follow_follows_started_run(
    submit: Any, run_kindred: RunKindred, server: FakeKubeflow, shows_package: bool
) -> None:
    run_id = started(submit, server)
    if not shows_package:
        for version in server.versions.values():
            del version["pipeline_spec"]
    server.script = [at("RUNNING", running("data"))] * 2
    server.script.append(published_run())
    posts = [request for request in server.requests if request.startswith("POST")]
    code, out, err = run_kindred("submit", "--follow", run_id)
    assert (code, out.splitlines()) == (0, [run_id])
    assert lines(err) == ALL and f"run {run_id}: published serving/1" in err
    assert [request for request in server.requests if request.startswith("POST")] == posts, "nothing is started"


def test_follow_names_tasks_as_the_package_does(submit: Any, run_kindred: RunKindred, server: FakeKubeflow) -> None:
    run_id = started(submit, server)
    server.script, server.log_misses = [at("SUCCEEDED", done("data"), FakeTask("trainer", "Omitted"))], 1000
    assert sorted(lines(run_kindred("submit", "--follow", run_id)[2])) == states(Data="succeeded", Trainer="skipped")


def test_follow_returns_exit_code_of_ended_run(submit: Any, run_kindred: RunKindred, server: FakeKubeflow) -> None:
    run_id = started(submit, server)
    server.script = [refused_run()]
    code, out, err = run_kindred("submit", "--follow", run_id)
    assert (code, out.splitlines()) == (1, [run_id]) and REASON in err


def test_follow_of_an_unknown_run_is_refused(run_kindred: RunKindred) -> None:
    code, out, err = run_kindred("submit", "--follow", "none")
    assert (code, out) == (2, "") and "run none" in err and "(404)" in err


@pytest.mark.parametrize("more", [["--no-wait"], ["--set", "train.epochs=3"], ["--config", "x.yaml"]])
def test_follow_refuses_options_of_a_start(run_kindred: RunKindred, server: FakeKubeflow, more: list[str]) -> None:
    code, _, err = run_kindred("submit", "--follow", "x", *more)
    assert code == 2 and "--follow: starts no run" in err and not server.requests
