"""Emulates KFP's launcher in the pod of a task: fills in placeholders, runs the command, reads its outputs.

Source: component/launcher_v2.go, 2.16.1. 2.15.0 does the same, except that it keeps no log of a failed task.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from google.protobuf import json_format

from tests.e2e.kubeflow.driver import Task
from tests.e2e.kubeflow.executor_output import ExecutorOutput, Outputs, Recorded
from tests.e2e.kubeflow.package import Spec, artifacts_out, parameters_in, parameters_out, words_of
from tests.e2e.kubeflow.placeholders import (
    EXECUTOR_INPUT,
    artifact_path_placeholder,
    input_placeholder,
    output_file_placeholder,
    substitute,
)
from tests.e2e.kubeflow.values import Value, text_of, value_from_text, value_of

Start = Callable[[list[str], Mapping[str, str]], tuple[int, str]]
"""Runs a command with variables. Returns its exit code, negative for a signal, and its output.

Raises FileNotFoundError if the program does not exist."""


@dataclasses.dataclass(frozen=True)
class Attempt:
    """The outcome of one pod of a task.

    Attributes:
      code: the exit code of the container, which is the launcher's: 0 or 1.
      log: the output of the pod.
      parameters, artifacts: the outputs, if the code is 0. An artifact that the command did not write has no path.
      recorded: the output artifacts in KFP's own ML Metadata, also those that the command did not write.
    """

    code: int
    log: str
    parameters: dict[str, Value] = dataclasses.field(default_factory=dict)
    artifacts: dict[str, Path] = dataclasses.field(default_factory=dict)
    recorded: dict[str, Recorded] = dataclasses.field(default_factory=dict)


class Launcher:
    """One task's container.

    Args:
      task: the task.
      container: its container in the package.
      inputs: what the driver resolved.
      pod: the folder for the files of a pod. It is removed with the pod.
      store: the folder for artifacts, in place of object storage.
      start: runs a command.
    """

    def __init__(
        self, task: Task, container: Spec, inputs: Mapping[str, Value], pod: Path, store: Path, start: Start
    ) -> None:
        self._task, self._container, self._start = task, container, start
        self._pod, self._store = pod, store
        # addDefaultParams: only the launcher knows the defaults of a container's parameters.
        defaults = {
            name: value_of(definition["defaultValue"])
            for name, definition in parameters_in(task.component).items()
            if definition.get("defaultValue") is not None
        }
        self._inputs = {**defaults, **inputs}
        self._files = {name: pod / "tmp/kfp/outputs" / name for name in parameters_out(task.component)}
        kinds = {name: spec["artifactType"]["schemaTitle"] for name, spec in artifacts_out(task.component).items()}
        self._outputs = Outputs(kinds, self._files, task.path, pod)

    def words(self) -> list[str]:
        """Returns the command line that the launcher starts.

        compileCmdAndArgs: replaces placeholders of inputs and outputs anywhere in a word, except in the first word.

        Raises:
          NotSubstituted: an optional input that has neither a value nor a default.
        """
        table = {input_placeholder(name): text_of(value) for name, value in self._inputs.items()}
        table |= {output_file_placeholder(name): str(path) for name, path in self._files.items()}
        table |= {artifact_path_placeholder(name): str(path) for name, path in self._outputs.places.items()}
        table[EXECUTOR_INPUT] = self._outputs.executor_input(self._inputs)
        (_, first), *words = words_of(self._container)
        return [first, *(substitute(word, table, self._task.path, place) for place, word in words)]

    def attempt(self) -> Attempt:
        """Runs one pod."""
        words = self.words()
        shutil.rmtree(self._pod, ignore_errors=True)
        try:
            # prepareOutputFolders: creates the parent folders of outputs, not the outputs.
            for path in (*self._files.values(), *self._outputs.places.values()):
                path.parent.mkdir(parents=True, exist_ok=True)
            code, output = self._execute(words)
            if code != 0:
                return Attempt(1, output)
            try:
                found = self._outputs.read()
                parameters = self._output_parameters(found)
                artifacts, recorded, warnings = self._outputs.upload(found, self._store)
            except ValueError as error:
                return Attempt(1, output + f"failed to execute component: {error}\n")
            return Attempt(0, output + warnings, parameters, artifacts, recorded)
        finally:
            shutil.rmtree(self._pod, ignore_errors=True)

    def _execute(self, words: list[str]) -> tuple[int, str]:
        """execute: an exit code other than 0 is an error. glog.Exit in cmd/launcher-v2/main.go then exits with 1.

        Only the log contains the exit code of the command.
        """
        variables = {variable["name"]: variable["value"] for variable in self._container.get("env", [])}
        try:
            code, output = self._start(words, variables)
        except FileNotFoundError:
            ended = f'exec: "{words[0]}": executable file not found in $PATH'
            return 1, f"failed to execute component: {ended}\n"
        if code == 0:
            return 0, output
        ended = f"exit status {code}" if code > 0 else f"signal: {_SIGNALS.get(-code, -code)}"
        if output and not output.endswith("\n"):
            output += "\n"
        return 1, output + f"failed to execute component: {ended}\n"

    def _output_parameters(self, found: ExecutorOutput) -> dict[str, Value]:
        """collectOutputParameters: a value in the executor output wins over the file."""
        given = {name: json_format.MessageToDict(value) for name, value in found.parameter_values.items()}
        files = {name: path for name, path in self._files.items() if name not in given}
        return {**given, **{name: self._output_parameter(name, path) for name, path in files.items()}}

    def _output_parameter(self, name: str, path: Path) -> Value:
        """collectOutputParameters: a missing file or a value of another type is an error."""
        kind = parameters_out(self._task.component)[name]["parameterType"]
        try:
            return value_from_text(path.read_bytes().decode("utf-8"), kind)
        except (OSError, ValueError) as error:
            raise ValueError(f'failed to read output parameter name="{name}" type="{kind}": {error}') from error


# As Go prints them (os.ProcessState).
_SIGNALS = {2: "interrupt", 6: "aborted", 9: "killed", 11: "segmentation fault", 15: "terminated"}
