"""Commands and settings that `kindred submit` and `kindred schedule` print work as typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import load_config
from pipeline.kubeflow import run_view
from tests.unit.pipeline.kubeflow.conftest import RunKindred
from tests.unit.pipeline.kubeflow.fake_kubeflow import FakeKubeflow

PROFILE = ("--namespace", "team a")


def type_printed(run_kindred: RunKindred, err: str) -> int:
    """Runs the only command in `err` without more options. Returns its exit code."""
    (printed,) = re.findall("`(kindred [^`]*)`", err)
    return run_kindred(*shlex.split(printed)[1:], host="")[0]


def test_printed_follow_command_reaches_server(
    submit: Any, run_kindred: RunKindred, server: FakeKubeflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    server.multi_user = True
    with monkeypatch.context() as patch:
        patch.setattr(run_view.RunView, "look", interrupt)
        err = submit(*PROFILE)[2]
    server.script = [{"state": "SUCCEEDED"}]
    assert type_printed(run_kindred, err) == 0


def test_printed_list_command_reaches_server(run_kindred: RunKindred, server: FakeKubeflow) -> None:
    server.multi_user = True
    assert type_printed(run_kindred, run_kindred("schedule", "pause", "none", *PROFILE)[2]) == 0


def test_printed_delete_command_works(run_kindred: RunKindred, server: FakeKubeflow, package: Path) -> None:
    create = ("schedule", "create", "nightly", "--package", str(package), "--cron")
    run_kindred(*create, "0 3 * * *")
    assert type_printed(run_kindred, run_kindred(*create, "0 4 * * *")[2]) == 0
    assert not server.recurring


def test_printed_commands_omit_token(run_kindred: RunKindred, server: FakeKubeflow) -> None:
    server.token = "a-secret"
    err = run_kindred("schedule", "pause", "none", "--token", "a-secret")[2]
    assert "kindred schedule list" in err and "a-secret" not in err


@pytest.mark.parametrize("path", ["/pipelines/upload_version", "/runs"])
def test_missing_security_contexts_suggest_setting(
    submit: Any, server: FakeKubeflow, tmp_path: Path, path: str
) -> None:
    # The response of Kubeflow Pipelines 2.15.0 to the platform document of a package.
    message = 'Failed to unmarshal: proto: (line 1:2): unknown field "securityContext"'
    server.failing, server.failures = path, [(400, {"message": message})]
    code, out, err = submit()
    assert (code, out) == (2, "") and message in err
    (setting,) = re.findall(r"--set (\S+)", err)
    config = tmp_path / "pipeline.yaml"
    config.write_text("name: films\ndata: {path: /kindred/a.csv}\n")
    assert load_config(config, [setting]).kubeflow.task.run_as_non_root is False
