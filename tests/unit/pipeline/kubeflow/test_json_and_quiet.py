"""`--json` and `--quiet` of the commands about Kubeflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.kubeflow import cli as kubeflow_cli
from tests.unit.pipeline.kubeflow.conftest import PACKAGE, RunKindred
from tests.unit.pipeline.kubeflow.fake_kubeflow import FakeKubeflow
from tests.unit.pipeline.kubeflow.films_run import REASON, lines, published_run, refused_run


def test_submission_is_json(submit: Any, run_kindred: RunKindred, server: FakeKubeflow) -> None:
    server.script = [published_run()]
    code, out, err = submit("--json")
    facts = json.loads(out)
    assert (code, facts["state"], facts["pipeline"], facts["uploaded"]) == (0, "SUCCEEDED", "films", True)
    assert facts["version"].startswith("films-") and facts["run_id"] in server.runs
    assert f"run {facts['run_id']}" in err, "progress stays on stderr"
    assert json.loads(submit("--json", "--no-wait")[1])["state"] is None
    followed = json.loads(run_kindred("submit", "--follow", facts["run_id"], "--json")[1])
    assert followed == {"run_id": facts["run_id"], "url": facts["url"], "state": "SUCCEEDED"}


def test_quiet_submission_prints_the_run_only(submit: Any, server: FakeKubeflow) -> None:
    server.script = [published_run()]
    code, out, err = submit("--quiet")
    assert (code, out.strip() in server.runs, err) == (0, True, "")


def test_quiet_submission_prints_why_a_run_failed(submit: Any, server: FakeKubeflow) -> None:
    server.script = [refused_run()]
    code, out, err = submit("--quiet")
    assert (code, out.strip() in server.runs) == (1, True)
    assert REASON in err and lines(err) == []


def test_compiled_package_is_json(run_kindred: RunKindred, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubeflow_cli, "compile_file", lambda *_: PACKAGE)
    output = tmp_path / "out.yaml"
    code, out, err = run_kindred("compile", "--config", "c.yaml", "--output", str(output), "--json", host="")
    facts = json.loads(out)
    assert (code, err, facts["package"], facts["pipeline"]) == (0, "", str(output), "films")
    assert output.read_text() == PACKAGE
    assert sorted(facts["tasks"]) == ["Data", "Refused", "RunReport", "Trainer"]
    assert facts["parameters"]["train_epochs"] == "NUMBER_INTEGER"


def test_changes_of_schedules_are_json(run_kindred: RunKindred, package: Path) -> None:
    create = ["schedule", "create", "nightly", "--package", str(package), "--cron", "0 3 * * *", "--json"]
    changes = [create, create, *(["schedule", verb, "nightly", "--json"] for verb in ("pause", "resume", "delete"))]
    states = [json.loads(run_kindred(*words)[1]) for words in changes]
    assert states == [
        {"schedule": "nightly", "state": state}
        for state in ("created", "already exists", "paused", "resumed", "deleted")
    ]


def test_backfill_is_json(run_kindred: RunKindred, server: FakeKubeflow, tmp_path: Path) -> None:
    package = tmp_path / "nightly.yaml"
    span = "      span: {parameterType: STRING, defaultValue: latest}\n"
    package.write_text(PACKAGE.replace("    parameters:\n", f"    parameters:\n{span}", 1))
    server.script = [refused_run()]
    words = ["schedule", "backfill", "--package", str(package), "--span", "1..2", "--json", "--quiet"]
    code, out, err = run_kindred(*words)
    (ended,) = json.loads(out)
    assert (code, ended["span"], ended["state"]) == (1, "1", "FAILED")
    assert "so the backfill stops" in err and lines(err) == []
