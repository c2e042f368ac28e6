"""Packages with the structure of compiled ones, and short scripts as containers.

Annotations stay objects here, because the kfp SDK reads them.
"""

import copy
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler, dsl

HOLD_ONCE = "PLANTED_HOLD_ONCE"
"""Variable with the path of a file. The first node that finds no such file makes it and waits for its kill."""

NODE = f"""
import os, pathlib, sys, time
name, run_id, verdict, code, verdict_file, summary = sys.argv[1:]
held = pathlib.Path(os.environ.get("{HOLD_ONCE}", "/"))
hold = not held.exists()
if hold:
    held.touch()
print(name, "runs in", run_id, flush=True)
if hold:
    time.sleep(60)
pathlib.Path(summary).write_text("# " + name)
pathlib.Path(verdict_file).write_text(verdict)
print("wrote", verdict, flush=True)
sys.exit(int(code))
"""
REPORT = """
import pathlib, sys
run_id, code, report = sys.argv[1:]
pathlib.Path(report).write_text("report of " + run_id)
sys.exit(int(code))
"""
REFUSED = "import sys; print('refused because', sys.argv[1]); sys.exit(1)"


@functools.cache
def exit_handler_package() -> str:
    """An exit handler with RunReport around Data, Trainer if data_verdict is go, and Refused at each stop."""
    data, trainer = _node("Data"), _node("Trainer")

    @dsl.container_component
    def report(run_id: str, code: int, report: dsl.Output[dsl.HTML]):  # type: ignore[no-untyped-def]
        return _container(REPORT, run_id, code, report.path)

    @dsl.container_component
    def refused(reason: str):  # type: ignore[no-untyped-def]
        return _container(REFUSED, reason)

    @dsl.pipeline(name="planted")
    def planted(
        data_verdict: str = "go",
        data_code: int = 0,
        model_verdict: str = "go",
        model_code: int = 0,
        report_code: int = 0,
    ) -> None:
        run_id = dsl.PIPELINE_JOB_ID_PLACEHOLDER
        with dsl.ExitHandler(_task(report(run_id=run_id, code=report_code), "RunReport"), name="run"):
            checked = _task(data(run_id=run_id, verdict=data_verdict, code=data_code), "Data").set_retry(2, "30s")
            with dsl.If(checked.outputs["verdict_file"] == "go", name="accepted"):
                trained = _task(trainer(run_id=run_id, verdict=model_verdict, code=model_code), "Trainer")
                with dsl.If(trained.outputs["verdict_file"] == "stop"):
                    _task(refused(reason="model"), "Refused")
            with dsl.If(checked.outputs["verdict_file"] == "stop"):
                _task(refused(reason="data"), "Refused")

    return compiled(planted)


def one_task_package(
    script: str, inputs: dict[str, tuple[str, Any]] | None = None, outputs: dict[str, str] | None = None, **task: Any
) -> str:
    """A task `Only` whose script gets its inputs, then the paths of its outputs.

    Args:
      inputs: type and constant by name.
      outputs: type by name. Markdown is an artifact.
      task: more keys of the task.
    """
    inputs, outputs = inputs or {}, outputs or {}
    words = [f"{{{{$.inputs.parameters['{name}']}}}}" for name in inputs]
    words += [
        f"{{{{$.outputs.artifacts['{name}'].path}}}}"
        if kind == "Markdown"
        else f"{{{{$.outputs.parameters['{name}'].output_file}}}}"
        for name, kind in outputs.items()
    ]
    artifact = {"artifactType": {"schemaTitle": "system.Markdown", "schemaVersion": "0.0.1"}}
    spec = {
        "pipelineInfo": {"name": "one"},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.16.1",
        "components": {
            "comp-only": {
                "executorLabel": "exec-only",
                "inputDefinitions": {
                    "parameters": {name: {"parameterType": kind} for name, (kind, _) in inputs.items()}
                },
                "outputDefinitions": {
                    "artifacts": {name: artifact for name, kind in outputs.items() if kind == "Markdown"},
                    "parameters": {n: {"parameterType": kind} for n, kind in outputs.items() if kind != "Markdown"},
                },
            }
        },
        "deploymentSpec": {
            "executors": {
                "exec-only": {"container": {"image": "python", "command": ["python", "-c", script], "args": words}}
            }
        },
        "root": {
            "dag": {
                "tasks": {
                    "only": {
                        "componentRef": {"name": "comp-only"},
                        "taskInfo": {"name": "Only"},
                        "inputs": {
                            "parameters": {n: {"runtimeValue": {"constant": value}} for n, (_, value) in inputs.items()}
                        },
                        **task,
                    }
                }
            }
        },
    }
    return yaml.safe_dump(spec)


def changed(package: str, change: Callable[[dict[str, Any]], None]) -> str:
    """Returns the package with a change to its pipeline."""
    spec, *more = yaml.safe_load_all(package)
    spec = copy.deepcopy(spec)
    change(spec)
    return yaml.safe_dump_all([spec, *more])


def with_platform(package: str, config: dict[str, Any]) -> str:
    """Returns the package of one task with a Kubernetes configuration of its executor."""
    spec = yaml.safe_load(package)
    return yaml.safe_dump_all(
        [spec, {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-only": config}}}}}]
    )


def compiled(pipeline: Any) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "package.yaml")
        compiler.Compiler().compile(pipeline, str(path))
        return path.read_text(encoding="utf-8")


def _node(name: str) -> Any:
    @dsl.container_component
    def node(  # type: ignore[no-untyped-def]
        run_id: str, verdict: str, code: int, verdict_file: dsl.OutputPath(str), summary: dsl.Output[dsl.Markdown]
    ):
        return _container(NODE, name, run_id, verdict, code, verdict_file, summary.path)

    return node


def _container(script: str, *words: Any) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image="python", command=["python", "-c", script], args=list(words))


def _task(task: Any, name: str) -> Any:
    return task.set_display_name(name).set_caching_options(False)
