"""Fixtures: a fake server of Kubeflow Pipelines, a package, and commands that use both."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline import cli
from tests.unit.pipeline.kubeflow.fake_kubeflow import FakeKubeflow

PACKAGE = """
pipelineInfo: {name: films}
schemaVersion: 2.1.0
root:
  inputDefinitions:
    parameters:
      data_path: {parameterType: STRING, defaultValue: /kindred/a.csv}
      train_epochs: {parameterType: NUMBER_INTEGER, defaultValue: 20.0}
      train_learning_rate: {parameterType: NUMBER_DOUBLE, defaultValue: 0.1}
      model_bias: {parameterType: BOOLEAN, defaultValue: true}
  dag:
    tasks:
      exit-handler-1: {taskInfo: {name: run}, componentRef: {name: comp-exit-handler-1}}
      runreport: {taskInfo: {name: RunReport}, componentRef: {name: comp-runreport}}
components:
  comp-runreport: {executorLabel: exec-runreport}
  comp-data: {executorLabel: exec-data}
  comp-trainer: {executorLabel: exec-trainer}
  comp-refused: {executorLabel: exec-refused}
  comp-exit-handler-1:
    dag:
      tasks:
        data: {taskInfo: {name: Data}, componentRef: {name: comp-data}}
        condition-2: {taskInfo: {name: data-accepted}, componentRef: {name: comp-condition-2}}
        refused-2: {taskInfo: {name: Refused}, componentRef: {name: comp-refused}}
  comp-condition-2:
    dag:
      tasks:
        trainer: {taskInfo: {name: Trainer}, componentRef: {name: comp-trainer}}
---
platforms: {kubernetes: {deploymentSpec: {executors: {}}}}
"""
RunKindred = Callable[..., tuple[int, str, str]]


@pytest.fixture
def server() -> Iterator[FakeKubeflow]:
    fake = FakeKubeflow()
    yield fake
    fake.close()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "films.yaml"
    path.write_text(PACKAGE)
    return path


@pytest.fixture
def run_kindred(
    server: FakeKubeflow,
    package: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> RunKindred:
    """Runs a command against the server. Returns its exit code, stdout and stderr."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(*arguments: str, host: str | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr(
            sys, "argv", ["kindred", *arguments, *(["--host", host or server.url] if host != "" else [])]
        )
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def kubeconfig(server: FakeKubeflow, tmp_path: Path) -> Path:
    """A kubeconfig that reaches the server. The server requires its token."""
    server.token = "from-kubeconfig"
    server.base = "/api/v1/namespaces/kubeflow/services/ml-pipeline:8888/proxy"
    content = {
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server.root}}],
        "users": [{"name": "u", "user": {"token": server.token}}],
    }  # fmt: skip
    path = tmp_path / "config"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def submit(run_kindred: RunKindred, package: Path) -> Callable[..., tuple[int, str, str]]:
    """Runs `kindred submit`. Returns its exit code, stdout and stderr."""
    return lambda *arguments, **options: run_kindred("submit", "--package", str(package), *arguments, **options)
