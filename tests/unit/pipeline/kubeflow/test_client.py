"""`kindred submit` and `kindred schedule` against a fake server that checks Kubeflow's published schema."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.kubeflow import requested, submission
from pipeline.kubeflow.options import Access
from tests.unit.pipeline.kubeflow.conftest import PACKAGE, RunKindred
from tests.unit.pipeline.kubeflow.fake_kubeflow import FakeKubeflow
from tests.unit.pipeline.kubeflow.kubeflow_schema import SchemaError, check


def submit(run_kindred: RunKindred, package: Path, *arguments: str, **options: str) -> tuple[int, str, str]:
    return run_kindred("submit", "--package", str(package), *arguments, **options)


def test_submit_uploads_and_starts_a_run(run_kindred: RunKindred, server: FakeKubeflow, package: Path) -> None:
    code, out, err = submit(run_kindred, package, "--set", "train.epochs=5", "--set", "model.bias=false")
    assert code == 0, err
    ((run_id, run),) = server.runs.items()
    assert out.splitlines()[-1] == run_id
    assert f"run {run_id}: {server.url}/#/runs/details/{run_id}" in err
    assert run["runtime_config"] == {"parameters": {"train_epochs": 5, "model_bias": False}}
    (version,) = server.versions.values()
    assert run["pipeline_version_reference"]["pipeline_version_id"] == version["pipeline_version_id"]
    assert version["description"] == str(len(PACKAGE))
    (experiment,) = server.experiments.values()
    assert experiment["display_name"] == "films" and run["experiment_id"] == experiment["experiment_id"]


def test_package_is_uploaded_once_per_version(run_kindred: RunKindred, server: FakeKubeflow, package: Path) -> None:
    assert "uploaded" in submit(run_kindred, package)[2]
    assert "already uploaded" in submit(run_kindred, package)[2]
    assert server.requests.count("POST pipelines/upload_version") == 1
    assert (len(server.pipelines), len(server.versions), len(server.experiments), len(server.runs)) == (1, 1, 1, 2)
    for changed in range(3):
        package.write_text(PACKAGE + f"# {changed}\n")
        submit(run_kindred, package)
    package.write_text(PACKAGE)
    assert "already uploaded" in submit(run_kindred, package)[2], "on the second page of versions"
    assert (len(server.pipelines), len(server.versions)) == (1, 4)


def test_concurrent_upload_is_reused(
    run_kindred: RunKindred, server: FakeKubeflow, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(run_kindred, package)
    look, looks = submission._find_version, []

    def blind_at_first(*arguments: Any) -> str | None:
        looks.append(arguments)
        return None if len(looks) == 1 else look(*arguments)

    monkeypatch.setattr(submission, "_find_version", blind_at_first)
    code, _, err = submit(run_kindred, package)
    assert (code, len(server.versions)) == (0, 1) and "already uploaded" in err


def test_no_wait_does_not_look_at_the_run(run_kindred: RunKindred, server: FakeKubeflow, package: Path) -> None:
    code, out, _ = submit(run_kindred, package, "--no-wait", "--service-account", "robot")
    assert code == 0
    assert not any(request.startswith("GET runs/") for request in server.requests)
    assert server.runs[out.split()[-1]]["service_account"] == "robot"


def test_token_and_namespace_come_from_the_environment(
    run_kindred: RunKindred, server: FakeKubeflow, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.token, server.multi_user = "secret", True
    monkeypatch.setenv("KINDRED_KFP_TOKEN", "secret")
    assert "your profile with --namespace" in submit(run_kindred, package)[2]
    monkeypatch.setenv("KINDRED_KFP_NAMESPACE", "team-a")
    monkeypatch.setenv("KINDRED_KFP_HOST", server.url)
    code, _, err = submit(run_kindred, package, host="")
    assert code == 0, err
    assert {p["namespace"] for p in server.pipelines.values()} == {"team-a"}
    assert {e["namespace"] for e in server.experiments.values()} == {"team-a"}


def test_host_and_token_come_from_kubeconfig(
    run_kindred: RunKindred, server: FakeKubeflow, package: Path, kubeconfig: Path
) -> None:
    code, _, err = submit(run_kindred, package, "--kubeconfig", str(kubeconfig), host="")
    assert code == 0, err
    assert len(server.runs) == 1
    assert "#/runs" not in err, "the API has no pages"


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda server: setattr(server, "token", "x"), ["(401)", "no valid identity token", "--token"]),
        (lambda server: server.failures.append((403, {"message": "no"})), ["(403)", "not allowed", "--namespace"]),
        (
            lambda server: server.failures.append((404, "404 page not found")),
            ["no API v2beta1", "Pipelines 2 is required"],
        ),
        (lambda server: server.failures.append((200, "<html>log in</html>")), ["web page", "--cookie", "--host"]),
        (lambda server: server.failures.append((302, "<html>moved</html>")), ["web page", "--token"]),
        (lambda server: server.failures.append((200, ["a"])), ["not", "Kubeflow Pipelines"]),
        (lambda server: setattr(server, "version", "3.0.1"), ["is Kubeflow Pipelines 3.0.1", "require version 2"]),
        (lambda server: server.failures.append((500, {"message": "disk full"})), ["(500)", "disk full"]),
    ],
    ids=["no token", "forbidden", "version 1", "login page", "redirect", "other service", "version 3", "broken"],
)
def test_refusal_is_one_sentence_with_reason(
    run_kindred: RunKindred,
    server: FakeKubeflow,
    package: Path,
    prepare: Callable[[FakeKubeflow], None],
    words: list[str],
) -> None:
    prepare(server)
    code, out, err = submit(run_kindred, package)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {server.url}") and all(word in err for word in words), err
    assert not server.runs and not server.pipelines


@pytest.mark.parametrize("status", [502, 503, 504])
def test_starting_server_is_unavailable(
    run_kindred: RunKindred, server: FakeKubeflow, package: Path, status: int
) -> None:
    server.failures = [(status, {"message": "no endpoints available"})] * 9
    code, out, err = submit(run_kindred, package)
    assert (code, out) == (1, "") and f"({status}): no endpoints available" in err


@pytest.mark.parametrize(
    ("host", "word"),
    [("http://127.0.0.1:1", "cannot be reached"), ("kubeflow.example", "must begin with http"), ("", "kubeconfig")],
)
def test_wrong_host_is_one_sentence(
    run_kindred: RunKindred, package: Path, host: str, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    code, out, err = submit(run_kindred, package, host=host)
    assert code in (1, 2) and out == ""
    assert err.startswith("error: ") and word in err and "--host" in err
    assert not caplog.records, "what libraries log about retries would reach the terminal"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("train.epoch=3", "no parameter of the package; choose one of data_path, train_epochs"),
        ("data.path=/kindred/$(HOME)", "run parameter data_path: must not contain $$ or $("),
        ("train.epochs=many", "must be a number integer (got 'many')"),
        ("train.epochs=2.5", "must be a number integer"),
        ("model.bias=1", "must be a boolean"),
        ("train.learning_rate=true", "must be a number double"),
        ("train.epochs", "must have the form key=value"),
    ],
)
def test_wrong_parameter_sends_no_request(
    run_kindred: RunKindred, server: FakeKubeflow, package: Path, setting: str, words: str
) -> None:
    code, _, err = submit(run_kindred, package, "--set", setting)
    assert code == 2 and words in err
    assert server.requests == []


def test_settings_become_run_parameters_where_possible(
    run_kindred: RunKindred, server: FakeKubeflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[Any] = []

    def compile_(config: Path, data: str | None, overrides: list[str], beam: str) -> str:
        compiled.append(overrides)
        return PACKAGE

    monkeypatch.setattr(requested, "compile_file", compile_)
    config = tmp_path / "films-pipeline.yaml"
    config.write_text("name: films\ndata: {path: /kindred/a.csv}\nkubeflow: {service_account: robot}\n")
    for epochs in (5, 6):
        arguments = ("--set", f"train.epochs={epochs}", "--set", "publish.keep=2")
        code, _, err = run_kindred("submit", "--config", str(config), *arguments)
        assert code == 0, err
    assert compiled == [["publish.keep=2"]] * 2
    assert [run["runtime_config"]["parameters"] for run in server.runs.values()] == [
        {"train_epochs": 5},
        {"train_epochs": 6},
    ]
    assert {run["service_account"] for run in server.runs.values()} == {"robot"}
    assert len(server.versions) == 1
    code, _, err = run_kindred("submit", "--config", str(config), "--set", "train.epochs=0")
    assert code == 2 and "train.epochs: must be greater than 0 (got 0)" in err and len(server.runs) == 2


def test_invalid_package_is_refused(run_kindred: RunKindred, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("name: films\n")
    assert "not a package" in submit(run_kindred, tmp_path / "x.yaml")[2]
    assert "cannot be read" in submit(run_kindred, tmp_path / "none.yaml")[2]
    assert "exactly one of --config and --package" in run_kindred("submit")[2]


def schedule(
    run_kindred: RunKindred, package: Path, name: str = "nightly", cron: str = "0 3 * * *", *more: str
) -> tuple[int, str, str]:
    return run_kindred("schedule", "create", name, "--package", str(package), "--cron", cron, *more)


def test_schedule_lifecycle(run_kindred: RunKindred, server: FakeKubeflow, package: Path) -> None:
    for other in ("a", "b"):
        schedule(run_kindred, package, other)
    assert "created" in schedule(run_kindred, package)[2]
    assert "already exists" in schedule(run_kindred, package)[2]
    made = next(run for run in server.recurring.values() if run["display_name"] == "nightly")
    assert made["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}}
    assert made["no_catchup"] is True and made["max_concurrency"] == "1"
    for verb, state in (("pause", "disabled"), ("resume", "enabled")):
        assert run_kindred("schedule", verb, "nightly")[0] == 0
        rows = [line.split("\t") for line in run_kindred("schedule", "list")[1].splitlines()]
        assert [row[:3] for row in rows if row[0] == "nightly"] == [["nightly", state, "0 0 3 * * *"]]
        assert [row[0] for row in rows] == ["a", "b", "nightly"]
    assert run_kindred("schedule", "delete", "nightly")[0] == 0
    code, _, err = run_kindred("schedule", "delete", "nightly")
    assert code == 2 and "does not exist" in err


def test_taken_schedule_name_is_refused(run_kindred: RunKindred, server: FakeKubeflow, package: Path) -> None:
    schedule(run_kindred, package)
    code, _, err = schedule(run_kindred, package, "nightly", "0 4 * * *")
    assert code == 2 and "the name is taken" in err
    assert len(server.recurring) == 1


@pytest.mark.parametrize("cron", ["", "0 3 * *", "0 0 3 * * * *", "at three o'clock every day"])
def test_wrong_cron_sends_no_request(run_kindred: RunKindred, server: FakeKubeflow, package: Path, cron: str) -> None:
    code, _, err = schedule(run_kindred, package, "nightly", cron)
    assert code == 2 and "five fields" in err and server.requests == []


def test_schema_check_detects_errors() -> None:
    check({"display_name": "x", "max_concurrency": "1", "mode": "ENABLE"}, "V2beta1RecurringRun")
    for wrong in ({"name": "x"}, {"max_concurrency": 1}, {"mode": "ON"}, {"trigger": {"cron": "x"}}, []):
        with pytest.raises(SchemaError):
            check(wrong, "V2beta1RecurringRun")


def test_token_is_never_printed(run_kindred: RunKindred, server: FakeKubeflow, package: Path) -> None:
    server.token = "right"
    assert "wrong-token" not in submit(run_kindred, package, "--token", "wrong-token")[2]
    assert "Bearer" not in repr(Access(server.url))
