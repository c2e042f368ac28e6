"""Tasks and pods, read from the workflow of a run."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kfp_server_api import PipelineTaskDetailChildTask, V2beta1PipelineTaskDetail

from pipeline.kubeflow import outcome
from pipeline.kubeflow.containers import REFUSED, RUN_REPORT
from pipeline.kubeflow.workflow import Workflow, read_workflow, workflow_of_details
from tests.unit.pipeline.kubeflow.fake_workflow import Attempt, FakeTask, FakeWorkflow, done, running


def tasks_of(manifest: str) -> dict[str, Any]:
    workflow = read_workflow(manifest)
    assert workflow is not None and workflow.is_whole
    return {task.name: task for task in workflow.tasks}


def test_tasks_have_their_phases_and_pods() -> None:
    attempts = tuple(Attempt("Failed" if number < 11 else "Running", str(number)) for number in range(12))
    fake = FakeWorkflow(done("data"), FakeTask("trainer", "Running", attempts), done("runreport", is_exit=True))
    tasks = tasks_of(fake.manifest())
    phases = {name: tasks[name].phase for name in ("data", "trainer", "runreport")}
    assert phases == {"data": "Succeeded", "trainer": "Running", "runreport": "Succeeded"}
    assert [fake.logs[pod.names[0]] for pod in tasks["trainer"].pods] == [str(number) for number in range(12)]
    assert (tasks["data"].seconds, tasks["trainer"].seconds) == (7.0, 0.0)


def test_driver_alone_is_running_task() -> None:
    fake = FakeWorkflow(running("data"))
    nodes = json.loads(fake.manifest())["status"]["nodes"]
    kept = {key: node for key, node in nodes.items() if "executor" not in node["name"]}
    manifest = json.dumps({"metadata": {"name": "x"}, "status": {"nodes": kept}})
    assert tasks_of(manifest)["data"].phase == "Running" and not tasks_of(manifest)["data"].pods


def test_long_pod_name_is_truncated() -> None:
    fake = FakeWorkflow(done("data", "found"), name="films-" + "x" * 240)
    (pod,) = tasks_of(fake.manifest())["data"].pods
    assert "found" in fake.logs[pod.names[0]] and len(pod.names[0]) <= 253


@pytest.mark.parametrize("manifest", ["", "{", "[]", "{}", '{"status": {"compressedNodes": "eA=="}, "metadata": {}}'])
def test_invalid_workflow_is_none(manifest: str) -> None:
    assert read_workflow(manifest) is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["metadata", "status", "nodes", "name", "id", "type", "phase", "compressedNodes", "spec"]),
            inner,
        )
    ),
)


@given(_JSON | st.fixed_dictionaries({"metadata": _JSON, "status": st.fixed_dictionaries({"nodes": _JSON})}))
def test_any_json_is_readable(value: Any) -> None:
    assert isinstance(read_workflow(json.dumps(value)), Workflow | None)


def test_details_without_times_took_no_time() -> None:
    def detail(**more: Any) -> V2beta1PipelineTaskDetail:
        children = [PipelineTaskDetailChildTask(pod_name="films-x7k2p-1")]
        return V2beta1PipelineTaskDetail(display_name="data", child_tasks=children, **more)

    never, zero, now = (datetime(year, 1, 1, tzinfo=timezone.utc) for year in (1, 1970, 2026))
    for began, ended in ((never, now), (zero, now), (now, never), (None, now), (now, None)):
        (task,) = workflow_of_details(
            [detail(state="SUCCEEDED", start_time=began, end_time=ended)], {"data": "Data"}
        ).tasks
        assert task.seconds == 0.0
    (task,) = workflow_of_details([detail(state=None)], {"data": "Data"}).tasks
    assert not task.has_ended


def test_refused_and_report_tasks_are_recognized() -> None:
    assert outcome.is_refusal(REFUSED) and outcome.is_report(RUN_REPORT)
    assert outcome.is_refusal("refused-2") and outcome.is_report("runreport")
    assert not outcome.is_refusal("Trainer") and not outcome.is_report("Trainer")
