"""Runs of planted packages: the order of tasks, attempts, outputs, and the outcome."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.kubeflow.errors import RunParameterError, Unsupported
from tests.e2e.kubeflow.interpreter import Interpreter, RunResult
from tests.unit.e2e_kubeflow.planted_packages import HOLD_ONCE, changed, exit_handler_package, one_task_package

WRITE = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text({!r})"


def run_id() -> str:
    return str(uuid.uuid4())


def planted(folder: Path, **parameters: object) -> RunResult:
    return Interpreter(exit_handler_package(), folder).run(run_id(), parameters)


def run_one(folder: Path, *arguments: Any, **keywords: Any) -> Any:
    result = Interpreter(one_task_package(*arguments, **keywords), folder).run(run_id())
    return result["Only"]


def test_accepted_run_succeeds(tmp_path: Path) -> None:
    identity = run_id()
    result = Interpreter(exit_handler_package(), tmp_path).run(identity)
    assert result.state == "SUCCEEDED"
    assert result.states == {
        "Data": "SUCCEEDED",
        "Trainer": "SUCCEEDED",
        "Refused": ["SKIPPED", "SKIPPED"],
        "RunReport": "SUCCEEDED",
    }
    assert result["Data"].parameters == {"verdict_file": "go"}
    assert result["Data"].summary == "# Data"
    assert f"Data runs in {identity}\n" in result["Data"].log
    assert result["RunReport"].artifacts["report"].read_text() == f"report of {identity}"
    assert result["Data"].ended <= result["Trainer"].began <= result["RunReport"].began


def test_refused_data_fail_the_run_once(tmp_path: Path) -> None:
    result = planted(tmp_path, data_verdict="stop")
    assert result.state == "FAILED"
    assert result["Data"].state == "SUCCEEDED" and result["Trainer"].state == "SKIPPED"
    skipped, failed = result.all("Refused")
    assert (skipped.state, failed.state, failed.codes) == ("SKIPPED", "FAILED", [1])
    assert failed.path == "exit-handler-1/condition-4/refused-2"
    assert "refused because data" in failed.log
    assert result["RunReport"].state == "SUCCEEDED"
    assert result.dags["exit-handler-1/condition-2"] == "SKIPPED"
    assert result.dags["exit-handler-1"] == "FAILED"


def test_refused_model_fails_the_inner_condition(tmp_path: Path) -> None:
    result = planted(tmp_path, model_verdict="stop")
    assert result.state == "FAILED"
    assert [task.state for task in result.all("Refused")] == ["FAILED", "SKIPPED"]
    assert result.dags == {
        "exit-handler-1": "FAILED",
        "exit-handler-1/condition-2": "FAILED",
        "exit-handler-1/condition-2/condition-3": "FAILED",
        "exit-handler-1/condition-4": "SKIPPED",
    }


def test_verdict_keeps_its_line_break(tmp_path: Path) -> None:
    result = planted(tmp_path, data_verdict="stop\n")
    assert [task.state for task in result.all("Refused")] == ["SKIPPED", "SKIPPED"]


def test_failed_task_is_retried_and_has_no_outputs(tmp_path: Path) -> None:
    waited: list[float] = []
    result = Interpreter(exit_handler_package(), tmp_path, sleep=waited.append).run(run_id(), {"data_code": 3})
    data = result["Data"]
    assert data.state == "FAILED" and data.codes == [1, 1, 1]
    assert data.waits == waited == [30.0, 60.0]
    assert data.log.count("failed to execute component: exit status 3\n") == 3
    assert data.parameters == {} and data.artifacts == {} and data.summary == ""
    assert result["Trainer"].state == "SKIPPED"
    assert [task.state for task in result.all("Refused")] == ["SKIPPED", "SKIPPED"]
    assert result["RunReport"].state == "SUCCEEDED"
    assert result.state == "FAILED"


def test_task_without_retries_is_tried_once(tmp_path: Path) -> None:
    assert planted(tmp_path, model_code=3)["Trainer"].codes == [1]


def test_killed_attempt_is_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOLD_ONCE, str(tmp_path / "held"))
    interpreter = Interpreter(exit_handler_package(), tmp_path)
    interpreter.kill_once("Data", when="runs in")
    result = interpreter.run(run_id())
    assert result["Data"].codes == [1, 0]
    assert "signal: killed" in result["Data"].log
    assert result.state == "SUCCEEDED"
    assert interpreter.run(run_id())["Data"].codes == [0]


def test_kill_that_never_happens_is_an_error(tmp_path: Path) -> None:
    interpreter = Interpreter(exit_handler_package(), tmp_path)
    interpreter.kill_once("Data", when="no such text")
    with pytest.raises(AssertionError, match="no such text"):
        interpreter.run(run_id())


def test_kill_after_the_end_is_an_error(tmp_path: Path) -> None:
    ends_first = "import os, time; os.fork() and os._exit(0); time.sleep(1); print('late', flush=True)"
    interpreter = Interpreter(one_task_package(ends_first), tmp_path)
    interpreter.kill_once("Only", when="late")
    with pytest.raises(AssertionError, match="late"):
        interpreter.run(run_id())


def test_failed_exit_task_does_not_fail_the_run(tmp_path: Path) -> None:
    result = planted(tmp_path, report_code=1)
    assert result["RunReport"].state == "FAILED" and result["RunReport"].artifacts == {}
    assert result.state == "SUCCEEDED"


def test_after_names_waiting_tasks(tmp_path: Path) -> None:
    interpreter = Interpreter(exit_handler_package(), tmp_path)
    assert interpreter.after("Data") == {"Trainer", "Refused"}
    assert interpreter.after("Trainer") == {"Refused"}
    with pytest.raises(KeyError, match="Nobody"):
        interpreter.after("Nobody")


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("NUMBER_DOUBLE", 1e-5, "0.00001"),
        ("NUMBER_DOUBLE", 3.0, "3"),
        ("NUMBER_DOUBLE", 1e22, "10000000000000000000000"),
        ("NUMBER_INTEGER", 64, "64"),
        ("NUMBER_INTEGER", 2**53 + 1, "9007199254740992"),
        ("BOOLEAN", True, "true"),
        ("STRING", "two words, ünïcode\n", "two words, ünïcode\n"),
        ("STRING", "", ""),
        ("STRING", 3, "3"),
        ("STRING", False, "false"),
        ("STRING", ["a"], '["a"]'),
        ("LIST", [1, 0.5, "<b>"], '[1,0.5,"\\u003cb\\u003e"]'),
        ("STRUCT", {"b": {}, "a": 1e-7}, '{"a":1e-7,"b":{}}'),
    ],
)
def test_text_of_a_value_in_args(tmp_path: Path, kind: str, value: object, text: str) -> None:
    script = "import sys; print(ascii(sys.argv[1]))"
    assert run_one(tmp_path, script, {"value": (kind, value)}).log == ascii(text) + "\n"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("STRING", " go\n", " go\n"),
        ("NUMBER_INTEGER", " 7\n", 7.0),
        ("NUMBER_DOUBLE", "1e-3", 0.001),
        ("BOOLEAN", "T", True),
        ("LIST", "[1, null]", [1.0, None]),
        ("STRUCT", '{"a": "b"}', {"a": "b"}),
    ],
)
def test_output_parameter_is_read_by_type(tmp_path: Path, kind: str, text: str, value: object) -> None:
    task = run_one(tmp_path, WRITE.format(text), outputs={"value": kind})
    assert task.parameters == {"value": value}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("NUMBER_INTEGER", "7.0"),
        ("NUMBER_INTEGER", "1_000"),
        ("NUMBER_DOUBLE", "many"),
        ("BOOLEAN", "yes"),
        ("LIST", "{}"),
        ("STRUCT", "[NaN]"),
    ],
)
def test_output_parameter_of_another_type_fails_the_task(tmp_path: Path, kind: str, text: str) -> None:
    task = run_one(tmp_path, WRITE.format(text), outputs={"value": kind})
    assert task.state == "FAILED" and task.codes == [1] and task.parameters == {}
    assert 'failed to read output parameter name="value"' in task.log


def test_missing_output_parameter_fails_the_task(tmp_path: Path) -> None:
    retry = {"maxRetryCount": 1, "backoffDuration": "5s", "backoffFactor": 2.0, "backoffMaxDuration": "60s"}
    task = run_one(tmp_path, "print('done')", outputs={"value": "STRING"}, retryPolicy=retry)
    assert task.state == "FAILED" and task.codes == [1, 1] and task.waits == [5.0]


def test_missing_artifact_is_allowed(tmp_path: Path) -> None:
    task = run_one(tmp_path, "print('done')", outputs={"summary": "Markdown"})
    assert task.state == "SUCCEEDED" and task.artifacts == {}
    assert "does not exist" in task.log


def test_folder_is_an_artifact(tmp_path: Path) -> None:
    script = "import pathlib, sys; p = pathlib.Path(sys.argv[1]); p.mkdir(); (p / 'part').write_text('one')"
    task = run_one(tmp_path, script, outputs={"folder": "Markdown"})
    assert (task.artifacts["folder"] / "part").read_text() == "one"


def test_pod_files_are_removed(tmp_path: Path) -> None:
    script = "import pathlib, sys; p = pathlib.Path(sys.argv[1]); print(p.exists()); p.write_text('x'); sys.exit(1)"
    retry = {"maxRetryCount": 1, "backoffMaxDuration": "60s"}
    assert run_one(tmp_path, script, outputs={"summary": "Markdown"}, retryPolicy=retry).log.count("False\n") == 2


def test_retry_policy_without_a_window_allows_no_retry(tmp_path: Path) -> None:
    assert run_one(tmp_path, "raise SystemExit(1)", retryPolicy={"maxRetryCount": 3}).codes == [1]


def test_wait_past_the_window_ends_the_attempts(tmp_path: Path) -> None:
    retry = {"maxRetryCount": 9, "backoffDuration": "40s", "backoffFactor": 2.0, "backoffMaxDuration": "130s"}
    task = run_one(tmp_path, "raise SystemExit(1)", retryPolicy=retry)
    assert task.waits == [40.0, 80.0]


def test_type_mismatch_fails_in_the_driver(tmp_path: Path) -> None:
    task = run_one(tmp_path, "print('runs')", {"value": ("NUMBER_INTEGER", "64")})
    assert task.state == "FAILED" and task.codes == []
    assert task.log == 'KFP driver: input parameter "value" type mismatch: expect NUMBER_INTEGER, got string\n'


def test_literals_bind_a_constant(tmp_path: Path) -> None:
    def allow_only_a(spec: dict[str, Any]) -> None:
        spec["components"]["comp-only"]["inputDefinitions"]["parameters"]["value"]["literals"] = ["a"]

    for value, state in (("a", "SUCCEEDED"), ("b", "FAILED")):
        package = changed(one_task_package("print('runs')", {"value": ("STRING", value)}), allow_only_a)
        assert Interpreter(package, tmp_path, release="2.16").run(run_id())["Only"].state == state
        with pytest.raises(Unsupported, match=r"literals with KFP 2\.15"):
            Interpreter(package, tmp_path)


def test_launcher_fills_in_defaults(tmp_path: Path) -> None:
    def leave_out(spec: dict[str, Any]) -> None:
        definition = spec["components"]["comp-only"]["inputDefinitions"]["parameters"]["value"]
        definition |= {"isOptional": True, "defaultValue": 0.25}
        spec["root"]["dag"]["tasks"]["only"]["inputs"]["parameters"].clear()

    package = one_task_package("import sys; print(sys.argv[1])", {"value": ("NUMBER_DOUBLE", 1)})
    assert Interpreter(changed(package, leave_out), tmp_path).run(run_id())["Only"].log == "0.25\n"


def test_missing_command_fails_task(tmp_path: Path) -> None:
    def other_command(spec: dict[str, Any]) -> None:
        spec["deploymentSpec"]["executors"]["exec-only"]["container"]["command"] = ["no-such-program"]

    task = Interpreter(changed(one_task_package(""), other_command), tmp_path).run(run_id())["Only"]
    assert task.codes == [1] and "executable file not found" in task.log


def test_independent_tasks_survive_a_failure(tmp_path: Path) -> None:
    meet = """
import pathlib, sys, time
mine, other = map(pathlib.Path, sys.argv[1:3])
mine.touch()
deadline = time.monotonic() + 30
while not other.exists() and time.monotonic() < deadline:
    time.sleep(0.01)
sys.exit(0 if other.exists() else 9)
"""

    def two_and_one_more(spec: dict[str, Any]) -> None:
        tasks = spec["root"]["dag"]["tasks"]
        places = [str(tmp_path / "a"), str(tmp_path / "b")]
        for name, words in (("a", places), ("b", places[::-1]), ("fails", ["/", "/no/such/place/"])):
            tasks[name] = {"componentRef": {"name": f"comp-{name}"}}
            spec["components"][f"comp-{name}"] = {"executorLabel": name}
            command = ["python", "-c", meet if name != "fails" else "raise SystemExit(1)"]
            spec["deploymentSpec"]["executors"][name] = {"container": {"image": "i", "command": command, "args": words}}
        tasks["only"]["dependentTasks"] = ["a", "b"]

    result = Interpreter(changed(one_task_package("print('runs')"), two_and_one_more), tmp_path).run(run_id())
    assert result.states == {"fails": "FAILED", "a": "SUCCEEDED", "b": "SUCCEEDED", "Only": "SUCCEEDED"}
    assert result.state == "FAILED"


@pytest.mark.parametrize("identity", ["run-1", "A0000000-0000-4000-8000-000000000000"])
def test_run_id_must_be_a_uuid(tmp_path: Path, identity: str) -> None:
    with pytest.raises(ValueError, match="UUID"):
        Interpreter(exit_handler_package(), tmp_path).run(identity)


def test_run_id_is_used_once(tmp_path: Path) -> None:
    interpreter, identity = Interpreter(exit_handler_package(), tmp_path), run_id()
    interpreter.run(identity)
    with pytest.raises(FileExistsError):
        interpreter.run(identity)


@pytest.mark.parametrize("given", [{"typo": 1}, {"data_verdict": 1}, {"data_code": "1"}, {"data_code": None}])
def test_api_server_refuses_parameters(tmp_path: Path, given: dict[str, object]) -> None:
    with pytest.raises(RunParameterError, match=next(iter(given))):
        Interpreter(exit_handler_package(), tmp_path).run(run_id(), given)
