"""`kindred schedule backfill` runs the spans of a range in order, and continues where it stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.kubeflow import following
from pipeline.kubeflow.client import KubeflowClient
from tests.unit.pipeline.kubeflow.conftest import PACKAGE, RunKindred
from tests.unit.pipeline.kubeflow.fake_kubeflow import FakeKubeflow


@pytest.fixture
def nightly(tmp_path: Path) -> Path:
    path = tmp_path / "nightly.yaml"
    span = "      span: {parameterType: STRING, defaultValue: latest}\n"
    path.write_text(PACKAGE.replace("    parameters:\n", f"    parameters:\n{span}", 1))
    return path


def backfill(run_kindred: RunKindred, package: Path, *arguments: str) -> tuple[int, str, str]:
    return run_kindred("schedule", "backfill", "--package", str(package), *arguments)


@pytest.fixture
def ends(server: FakeKubeflow, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The states in which the next runs end. SUCCEEDED when there are no more."""
    states: list[str] = []

    def follow(cluster: KubeflowClient, run_id: str, *_: object) -> str:
        server.runs[run_id]["state"] = states.pop(0) if states else "SUCCEEDED"
        return str(server.runs[run_id]["state"])

    monkeypatch.setattr(following, "follow", follow)
    return states


def spans(server: FakeKubeflow) -> list[str]:
    return [run["runtime_config"]["parameters"]["span"] for run in server.runs.values()]


def test_spans_run_in_order(run_kindred: RunKindred, server: FakeKubeflow, nightly: Path) -> None:
    code, _, err = backfill(run_kindred, nightly, "--span", "2026-02-27..2026-03-01", "--set", "train.epochs=5")
    assert code == 0, err
    assert spans(server) == ["2026-02-27", "2026-02-28", "2026-03-01"]
    assert all(run["runtime_config"]["parameters"]["train_epochs"] == 5 for run in server.runs.values())


def test_same_command_continues(run_kindred: RunKindred, server: FakeKubeflow, nightly: Path, ends: list[str]) -> None:
    ends += ["SUCCEEDED", "FAILED"]
    code, _, err = backfill(run_kindred, nightly, "--span", "1..3")
    assert (code, spans(server)) == (1, ["1", "2"]) and "same command" in err
    code, _, err = backfill(run_kindred, nightly, "--span", "1..3")
    assert (code, spans(server)) == (0, ["1", "2", "2", "3"]) and "span 1: run" in err


def test_run_that_still_runs_is_followed(
    run_kindred: RunKindred, server: FakeKubeflow, nightly: Path, ends: list[str]
) -> None:
    ends += ["RUNNING"]
    backfill(run_kindred, nightly, "--span", "1..2")
    assert backfill(run_kindred, nightly, "--span", "1..2")[0] == 0
    assert spans(server) == ["1", "2"]


def test_runs_with_other_settings_do_not_count(
    run_kindred: RunKindred, server: FakeKubeflow, nightly: Path, ends: list[str]
) -> None:
    for epochs in ("5", "6", "6"):
        backfill(run_kindred, nightly, "--span", "1..1", "--set", f"train.epochs={epochs}")
    assert spans(server) == ["1", "1"]


@pytest.mark.parametrize("span", ["x", "3..1", "1..2026-01-01"])
def test_wrong_range_sends_no_request(run_kindred: RunKindred, server: FakeKubeflow, nightly: Path, span: str) -> None:
    code, _, err = backfill(run_kindred, nightly, "--span", span)
    assert (code, server.requests) == (2, []) and "--span" in err


def test_package_without_spans_is_refused(run_kindred: RunKindred, server: FakeKubeflow, package: Path) -> None:
    code, _, err = backfill(run_kindred, package, "--span", "1..2")
    assert code == 2 and "no parameter span" in err and not server.requests


def test_path_without_spans_sends_no_request(run_kindred: RunKindred, server: FakeKubeflow, tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text("name: films\ndata: {path: /kindred/films.csv}\n")
    code, _, err = run_kindred("schedule", "backfill", "--config", str(file), "--span", "1..2")
    assert code == 2 and "/kindred/films.csv has no span" in err and not server.requests
