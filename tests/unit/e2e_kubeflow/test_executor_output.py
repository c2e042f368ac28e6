"""The executor output of a task: properties of artifacts, and what KFP's launcher refuses."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.kubeflow.errors import PackageError
from tests.e2e.kubeflow.interpreter import Interpreter
from tests.e2e.kubeflow.results import TaskRun
from tests.unit.e2e_kubeflow.planted_packages import changed, one_task_package

WRITE = """
import json, pathlib, sys
given, output = json.loads(sys.argv[2]), pathlib.Path(json.loads(sys.argv[2])["outputs"]["outputFile"])
artifact = given["outputs"]["artifacts"]["summary"]["artifacts"][0]
print(given["inputs"]["parameterValues"], artifact["uri"], artifact["type"]["schemaTitle"])
pathlib.Path(sys.argv[1]).write_text("text") if {is_written} else None
output.write_text({text!r})
"""


def run(folder: Path, output: Any, is_written: bool = True) -> TaskRun:
    text = output if isinstance(output, str) else json.dumps(output)
    package = one_task_package(WRITE.format(text=text, is_written=is_written), outputs={"summary": "Markdown"})

    def give_input(spec: dict[str, Any]) -> None:
        spec["deploymentSpec"]["executors"]["exec-only"]["container"]["args"].append("{{$}}")

    return Interpreter(changed(package, give_input), folder).run(str(uuid.uuid4()))["Only"]


def artifact(**fields: Any) -> dict[str, Any]:
    return {"artifacts": {"summary": {"artifacts": [fields]}}}


def test_properties_are_recorded(tmp_path: Path) -> None:
    task = run(tmp_path, artifact(metadata={"rmse": 0.5, "status": "published", "blessed": True}))
    assert task.state == "SUCCEEDED", task.log
    assert task.recorded["summary"].properties == {"rmse": 0.5, "status": "published", "blessed": 1}
    assert task.recorded["summary"].kind == "system.Markdown"
    assert "minio://mlpipeline/v2/artifacts/only/summary system.Markdown" in task.log
    assert task.summary == "text"


def test_artifact_without_file_is_recorded(tmp_path: Path) -> None:
    task = run(tmp_path, {}, is_written=False)
    assert task.state == "SUCCEEDED" and task.artifacts == {}
    assert task.recorded["summary"].properties == {}


def test_place_of_another_kind_is_recorded_without_upload(tmp_path: Path) -> None:
    task = run(tmp_path, artifact(uri="/kindred/films/serving/1"))
    assert task.state == "SUCCEEDED" and task.artifacts == {}
    assert task.recorded["summary"].uri == "/kindred/films/serving/1"


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("{", "failed to unmarshall ExecutorOutput"),
        ({"artifact": {}}, "failed to unmarshall ExecutorOutput"),
        (artifact(metadata={"rmse": None}), "unknown/unsupported value type of rmse"),
        (artifact(metadata={"rmse": float("nan")}), "failed to unmarshall ExecutorOutput"),
        (artifact(uri="s3://other/place"), "does not have expected bucket prefix"),
    ],
    ids=str,
)
def test_launcher_fails(tmp_path: Path, output: Any, reason: str) -> None:
    task = run(tmp_path, output)
    assert task.state == "FAILED" and task.recorded == {}
    assert reason in task.log


def test_artifact_of_no_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="other: the task has no such output"):
        run(tmp_path, {"artifacts": {"other": {"artifacts": [{}]}}})
