"""The sources of task logs for `kindred submit`, and how often it reads them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.unit.pipeline.kubeflow.fake_kubeflow import FakeKubeflow
from tests.unit.pipeline.kubeflow.fake_workflow import Attempt, FakeTask, FakeWorkflow, done, running
from tests.unit.pipeline.kubeflow.films_run import ALL, DATA, TRAINER, at, lines, published, states


def test_without_workflow_and_logs_kubeflows_states_are_printed(submit: Any, server: FakeKubeflow) -> None:
    failed = FakeTask("trainer", "Failed", (Attempt("Failed", None),))
    server.script = [at("RUNNING", done("data"), running("trainer")), at("FAILED", done("data"), failed)]
    server.has_v1beta1, server.log_misses = False, 1000
    code, _, err = submit()
    (run_id,) = server.runs
    assert code == 1
    assert lines(err) == states(Data="succeeded", Trainer="failed")
    assert f"run {run_id}: failed" in err and f"open {server.url}/#/runs/details/{run_id}" in err
    assert re.search(r"Data +succeeded +7\.0 s", err)


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("has_workflow", [True, False])
def test_either_pod_name_finds_logs(submit: Any, server: FakeKubeflow, version: str, has_workflow: bool) -> None:
    tasks = (done("data", *DATA), done("trainer", *TRAINER, is_retried=False), published())
    workflow = FakeWorkflow(*tasks, phase="Succeeded", pod_names=version)
    server.script, server.has_v1beta1 = [{"state": "SUCCEEDED", "workflow": workflow}], has_workflow
    server.is_user_interface, server.has_archive = True, False
    code, _, err = submit()
    assert code == 0
    assert sorted(lines(err)) == sorted(ALL)
    assert "8 rules hold" in err and "13 epochs" in err, "only the logs of the tasks have details"
    assert "published serving/1" in err


@pytest.mark.parametrize("host", ["user interface", "API server of many users", "Kubernetes"])
def test_running_task_log_is_read_at(
    submit: Any, server: FakeKubeflow, request: pytest.FixtureRequest, host: str
) -> None:
    server.has_archive = False
    server.is_user_interface = host == "user interface"
    options, arguments = {}, []
    if host == "Kubernetes":
        arguments, options = ["--kubeconfig", str(request.getfixturevalue("kubeconfig"))], {"host": ""}
    elif host != "user interface":
        server.multi_user, arguments = True, ["--namespace", "team"]
    # The log was read before it disappeared.
    lost = FakeTask("data", "Succeeded", (Attempt(log=None),))
    server.script = [at("RUNNING", running("data", *DATA)), at("SUCCEEDED", lost, published())]
    code, _, err = submit(*arguments, **options)
    assert code == 0 and "8 rules hold" in err and "published serving/1" in err


@pytest.mark.parametrize("is_user_interface", [True, False])
@pytest.mark.parametrize("has_workflow", [True, False])
def test_log_of_deleted_pod_comes_from_archive(
    submit: Any, server: FakeKubeflow, is_user_interface: bool, has_workflow: bool
) -> None:
    server.script = [at("SUCCEEDED", done("data", *DATA), done("trainer", *TRAINER), published())]
    server.script[0]["workflow"].logs.clear()
    server.is_user_interface, server.has_v1beta1 = is_user_interface, has_workflow
    code, _, err = submit()
    assert code == 0 and sorted(lines(err)) == sorted(ALL) and "13 epochs" in err


def test_log_with_invalid_utf8_is_read(submit: Any, server: FakeKubeflow) -> None:
    server.script = [at("SUCCEEDED", done("data", "Größe \N{SNOWMAN}", *DATA), published())]
    assert "8 rules hold" in submit()[2]


def test_late_task_without_workflow_is_printed(submit: Any, server: FakeKubeflow) -> None:
    tasks = (done("data", *DATA), done("trainer", *TRAINER), published())
    early, late = FakeWorkflow(done("data", *DATA)), FakeWorkflow(*tasks)
    server.has_v1beta1 = False
    server.script = [{"state": "SUCCEEDED", "workflow": late, "details": known} for known in (early, early, late)]
    code, _, err = submit()
    assert code == 0 and lines(err) == ALL and "published serving/1" in err


def test_late_log_is_requested_again(submit: Any, server: FakeKubeflow) -> None:
    server.script = [at("SUCCEEDED", done("data", *DATA), done("trainer", *TRAINER), published())]
    server.log_misses = 5
    code, _, err = submit()
    assert code == 0 and sorted(lines(err)) == sorted(ALL)


def test_deleted_pod_does_not_hide_next_attempt(submit: Any, server: FakeKubeflow) -> None:
    task = FakeTask("trainer", "Succeeded", (Attempt("Error", None, "pod deleted"), Attempt(log=TRAINER[0])))
    server.script = [at("SUCCEEDED", task, published())]
    assert ("Trainer", "executed") in lines(submit()[2])


def test_killed_pods_give_their_message(submit: Any, server: FakeKubeflow) -> None:
    killed = Attempt("Failed", "I1125 launcher", "OOMKilled (exit code 137)")
    server.script = [at("FAILED", FakeTask("trainer", "Failed", (killed, killed)))]
    code, _, err = submit()
    assert code == 1 and lines(err) == states(Trainer="failed")
    assert err.count("OOMKilled (exit code 137)") == 2, "with the task, and as the reason"


def test_compressed_workflow_is_read(submit: Any, server: FakeKubeflow, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = FakeWorkflow.manifest
    monkeypatch.setattr(FakeWorkflow, "manifest", lambda self: manifest(self, is_compressed=True))
    # Kubeflow reports no tasks for such a workflow: `HasNodes` in common/util/workflow.go.
    monkeypatch.setattr(FakeWorkflow, "details", lambda self: [])
    server.script = [at("RUNNING"), at("SUCCEEDED", done("data", *DATA), done("trainer", *TRAINER), published())]
    code, _, err = submit()
    assert code == 0 and lines(err) == ALL


def test_last_source_is_tried_first(submit: Any, server: FakeKubeflow) -> None:
    server.is_user_interface = True
    server.script = [at("SUCCEEDED", done("data", *DATA), done("trainer", *TRAINER), published())]
    assert submit()[0] == 0
    assert sum("v1alpha1" in request for request in server.requests) == 1
    assert [query.keys() for query in server.log_queries] == [{"podname", "runid", "podnamespace", "createdat"}] * 3
    assert {query["podnamespace"] for query in server.log_queries} == {"team"}


def test_logs_are_found_behind_a_path(submit: Any, server: FakeKubeflow) -> None:
    server.base = "/api/v1/namespaces/kubeflow/services/ml-pipeline:8888/proxy"
    server.script = [at("SUCCEEDED", done("data", *DATA), done("trainer", *TRAINER), published())]
    code, _, err = submit()
    assert code == 0 and lines(err) == ALL


def test_logs_need_the_token_too(submit: Any, server: FakeKubeflow) -> None:
    server.token = "secret"
    server.script = [at("SUCCEEDED", done("data", *DATA), published())]
    code, _, err = submit("--token", "secret")
    assert code == 0 and lines(err)[:2] == ALL[:2] and "secret" not in err


def test_long_running_log_is_read_less_often(submit: Any, server: FakeKubeflow) -> None:
    server.is_user_interface = True
    server.script = [at("RUNNING", running("trainer", "x" * 1_000_000)) for _ in range(20)]
    server.script.append(at("SUCCEEDED", done("trainer", *TRAINER), published()))
    assert submit()[0] == 0
    assert len(server.log_queries) == 4, "twice while it ran, then the task and the report"


def test_missing_running_log_is_requested_less_often(submit: Any, server: FakeKubeflow) -> None:
    server.script = [at("RUNNING", running("trainer")) for _ in range(20)]
    server.script.append(at("SUCCEEDED", done("trainer", *TRAINER), published()))
    assert submit()[0] == 0
    assert sum("v1alpha1" in request for request in server.requests) <= 5


def test_unchanged_workflow_is_read_once(submit: Any, server: FakeKubeflow) -> None:
    server.script = [at("RUNNING", running("trainer"))] * 9 + [at("SUCCEEDED", done("trainer", *TRAINER), published())]
    submit()
    assert sum(request.startswith("GET /apis/v1beta1/runs/") for request in server.requests) == 2


def test_refusal_precedes_missing_log(submit: Any, server: FakeKubeflow) -> None:
    server.script = [at("SUCCEEDED", done("data", *DATA))]
    server.is_user_interface, server.has_archive = True, False
    server.failing, server.failures = "/k8s/pod/logs", [(403, {"message": "no access to pods"})] * 100
    assert "The record of the run cannot be read here" in (err := submit()[2])
    assert "no access to pods" in err and "(404)" not in err
