"""Errors that a task detects before it runs a node, and their records."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from errors import ModelRefused, RunIdError, StoreUnavailable
from pipeline.kubeflow import node, refused, run_report
from pipeline.kubeflow.node_records import NodeRecord, NodeRecords
from pipeline.kubeflow.run_identity import checked_run_id
from pipeline.kubeflow.task_log import RunEnded, read
from pipeline.records.run_folder import RunFolder

pytestmark = pytest.mark.tensorflow

RUN_ID = "0b6d7a52-5a7b-4c0e-9a43-2f1f6f0c9b11"
NODES = "ImportSchemaGen,PairExampleGen"


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


class Task:
    """Returns the arguments of a task with its own volume."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "films"
        self.run_folder = RunFolder(self.root / "runs" / RUN_ID)
        self.words = {
            "--run-id": RUN_ID, "--data": str(folder / "pairs.csv"), "--span": "latest", "--root": str(self.root),
            "--config": json.dumps({"name": "films", "data": {"path": "/kindred/pairs.csv"}}), "--graph": "another",
            "--all-nodes": f"{NODES},Trainer", "--metadata": json.dumps({"sqlite": str(folder / "mlmd.sqlite")}),
            "--summary": str(folder / "out" / "summary"),
            "--executor-input": json.dumps({"outputs": {"outputFile": str(folder / "out" / "output_metadata.json")}}),
        }  # fmt: skip

    def run(self, **changes: str) -> tuple[int, str]:
        """Runs a task. Returns its exit code and its verdict."""
        verdict = self.folder / "out" / "verdict"
        words = {**self.words, "--nodes": NODES, "--verdict": str(verdict), **_options(changes)}
        code = node.main([word for pair in words.items() for word in pair])
        return code, verdict.read_text() if verdict.exists() else ""

    def report(self, **changes: str) -> int:
        outputs = {f"--{name}": str(self.folder / "out" / name) for name in ("report", "record", "metrics")}
        words = {**self.words, **outputs, **_options(changes)}
        return run_report.main([word for pair in words.items() for word in pair])

    def refuse(self, **changes: str) -> int:
        words = {"--run-id": RUN_ID, "--root": str(self.root), **_options(changes)}
        return refused.main([word for pair in words.items() for word in pair])

    @property
    def properties(self) -> dict[str, Any]:
        """The properties of each artifact in the executor output."""
        artifacts = json.loads((self.folder / "out" / "output_metadata.json").read_text())["artifacts"]
        return {name: found["artifacts"][0]["metadata"] for name, found in artifacts.items()}

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads(self.run_folder.summary.read_text(encoding="utf-8"))


def _options(changes: dict[str, str]) -> dict[str, str]:
    return {f"--{name.replace('_', '-')}": value for name, value in changes.items()}


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return Task(tmp_path)


@pytest.mark.parametrize(
    ("run_id", "words"),
    [
        ("{{$.pipeline_job_uuid}}", "Kubeflow did not fill in this placeholder"),
        ("", "must be the UUID"),
        ("run-1", "must be the UUID"),
        (RUN_ID + "\n", "must be the UUID"),
        (RUN_ID.upper(), "must be the UUID"),
        (f"../{RUN_ID}", "must be the UUID"),
    ],
)
def test_invalid_run_id_is_refused(run_id: str, words: str) -> None:
    with pytest.raises(RunIdError, match=words):
        checked_run_id(run_id)


def test_run_without_id_fails_without_writing(task: Task, capsys: pytest.CaptureFixture[str]) -> None:
    assert task.run(run_id="{{$.pipeline_job_uuid}}") == (0, "stop")
    assert not task.root.exists()
    assert task.refuse(run_id="{{$.pipeline_job_uuid}}") == 1
    assert capsys.readouterr().err.count("Kubeflow did not fill in this placeholder") == 2
    assert task.report(run_id="{{$.pipeline_job_uuid}}") == 1


def test_relative_root_is_refused(task: Task, capsys: pytest.CaptureFixture[str]) -> None:
    assert task.run(root="films") == (0, "stop")
    assert "pipeline_root: must be an absolute path on a volume of the tasks (/), or a URL" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("root", "mounts", "words"),
    [
        ("/kindredly/films", '["/kindred"]', "on a volume of the tasks (/kindred), or a URL"),
        ("/kindred/films", "[]", "pipeline_root: must be a URL that begins with s3://"),
        ("s3://bucket/../films", "[]", "pipeline_root: must have no empty part"),
    ],
)
def test_root_that_tasks_do_not_share_is_refused(
    task: Task, root: str, mounts: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert task.run(root=root, mounts=mounts) == (0, "stop")
    assert words in capsys.readouterr().err
    assert task.refuse(root=root, mounts=mounts) == 1
    assert words in capsys.readouterr().err


def test_store_that_does_not_answer_is_an_accident(
    task: Task, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(store: object) -> None:
        raise StoreUnavailable("s3://bucket/films: does not answer")

    monkeypatch.setenv("KINDRED_CACHE", str(task.folder / "cache"))
    monkeypatch.setattr("pipeline.kubeflow.stored_root.StoredRoot.check", fail)
    assert task.run(root="s3://bucket/films") == (1, ""), "Kubeflow tries again"
    assert capsys.readouterr().err == "error: s3://bucket/films: does not answer\n"


def test_wrong_parameter_stops_run(task: Task, capsys: pytest.CaptureFixture[str]) -> None:
    reason = "run parameters: model.dimension: must be greater than 0 (got 0)"
    task.words["--config"] = json.dumps({"name": "films", "data": {"path": "/p.csv"}, "model": {"dimension": 0}})
    assert task.run() == (0, "stop")
    assert task.summary["status"] == "failed" and task.summary["error"].startswith(reason)
    assert task.refuse() == 1
    assert reason in capsys.readouterr().err
    assert task.report() == 0
    (ended,) = (record for record in read(capsys.readouterr().out) if isinstance(record, RunEnded))
    assert (ended.status, ended.error) == ("failed", task.summary["error"])
    assert json.loads((task.folder / "out" / "record").read_text()) == task.summary
    assert reason in (task.folder / "out" / "summary").read_text()
    assert reason in (task.folder / "out" / "report").read_text()


def test_refused_run_has_data_and_model_without_location(task: Task) -> None:
    out = task.folder / "out"
    assert task.run(dataset=str(out / "dataset"), model=str(out / "model")) == (0, "stop")
    assert task.properties == {
        "dataset": {"location": str(task.folder / "pairs.csv")},
        "model": {"framework": "TensorFlow", "pipeline": "films", "status": "failed"},
    }
    assert json.loads((out / "dataset").read_text()) == task.properties["dataset"]
    assert task.report() == 0
    assert task.properties == {"metrics": {}}


def test_task_outputs_only_its_artifacts(task: Task) -> None:
    assert task.run() == (0, "stop")
    assert task.properties == {}


def test_figures_of_refused_replay_are_in_the_record(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object) -> None:
        raise ModelRefused("the replay refuses the model", {"compared": 5})

    monkeypatch.setattr(node._TaskAttempt, "_start", lambda *_: SimpleNamespace(run=run))
    assert task.run() == (0, "stop") and task.report() == 0
    summary = json.loads((task.root / "runs" / RUN_ID / "summary.json").read_text())
    assert (summary["status"], summary["replay"]) == ("model_refused", {"compared": 5})


def test_exit_task_sends_notices(task: Task, capsys: pytest.CaptureFixture[str]) -> None:
    config = json.loads(task.words["--config"])
    sent = task.folder / "notice.json"
    config["notify"] = {"command": ["sh", "-c", f"cat > {sent}"], "slack": "SLACK_URL_THAT_IS_NOT_SET"}
    task.words["--config"] = json.dumps(config | {"model": {"dimension": 0}})
    assert task.run() == (0, "stop") and not sent.exists()
    assert task.report() == 0
    notice = json.loads(sent.read_text())
    assert (notice["event"], notice["run_id"], notice["exit_code"]) == ("failed", RUN_ID, 1)
    assert notice["error"].startswith("run parameters: model.dimension")
    assert "warning: a notice was not delivered: notify.slack: the environment variable" in capsys.readouterr().err
    assert 'kindred_run_exit_code{pipeline="films"} 1' in (task.root / "runs" / "metrics.prom").read_text()


def test_image_of_another_version_stops_run(task: Task) -> None:
    assert task.run() == (0, "stop")
    assert task.summary["error"].startswith("the graph of this image is not the graph of the package")
    assert not (task.folder / "mlmd.sqlite").exists()


def test_run_id_of_other_submission_is_refused(task: Task, capsys: pytest.CaptureFixture[str]) -> None:
    assert task.run() == (0, "stop")
    before = task.summary
    (task.folder / "out" / "verdict").unlink()
    assert task.run(data=str(task.folder / "other.csv")) == (1, "")
    assert "already ran under this id with other parameters or another package" in capsys.readouterr().err
    assert task.summary == before


def test_task_after_stop_does_nothing(task: Task) -> None:
    assert task.run() == (0, "stop")
    assert task.run(nodes="Trainer") == (0, "stop")
    assert [component["id"] for component in task.summary["components"]] == ["ImportSchemaGen"]
    assert "Not run: ImportSchemaGen stopped the run." in (task.folder / "out" / "summary").read_text()


def test_node_of_vanished_pod_is_named(task: Task) -> None:
    records = NodeRecords(task.run_folder)
    records.write(NodeRecord("ImportSchemaGen", "s", "executed", 1.0, 2.0))
    records.write(NodeRecord("PairExampleGen", "s", "running", 3.0))
    assert task.report() == 0
    assert task.summary["status"] == "failed"
    assert "PairExampleGen did not end: its pod was stopped from outside" in task.summary["error"]
    states = {component["id"]: component["state"] for component in task.summary["components"]}
    assert states == {"ImportSchemaGen": "executed", "PairExampleGen": "failed"}


def test_run_without_nodes_has_reason(task: Task) -> None:
    assert task.report() == 0
    assert task.summary["error"].startswith("ImportSchemaGen did not begin: its pod did not start")


def test_last_failed_attempt_gives_reason(task: Task) -> None:
    found = {"status": "failed", "error": "ML Metadata did not answer in 300 s"}
    NodeRecords(task.run_folder).write(NodeRecord("ImportSchemaGen", "s", "failed", 1.0, 2.0, found=found))
    assert task.report() == 0
    assert task.summary["error"] == "ML Metadata did not answer in 300 s"
