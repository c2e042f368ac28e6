"""Stages the artifacts of a task: inputs in before an executor runs, outputs out after it. Imports TFX.

TFX's launcher takes other operators for kinds of executors (`custom_executor_operators`), so that components need no
change. It marks an execution as complete after its operator. Therefore ML Metadata never has an artifact that the store
lacks. A pod that is killed during an upload leaves an execution that still runs, and its next attempt writes the same
objects again.
"""

from __future__ import annotations

import logging
from typing import Any

from tfx import types
from tfx.orchestration.portable.beam_executor_operator import BeamExecutorOperator
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.orchestration.portable.python_executor_operator import PythonExecutorOperator
from tfx.proto.orchestration import executable_spec_pb2, execution_result_pb2

from errors import StoreError
from pipeline.kubeflow.stored_root import StoredRoot
from pipeline.running.artifact_digests import add_digests, damage, digests_of


class Staging:
    """Moves artifacts between the store of a root and the disk of one task. Each artifact is moved once.

    Args:
      stored: the root.
    """

    def __init__(self, stored: StoredRoot) -> None:
        self._stored = stored
        self._here: set[str] = set()

    @property
    def operators(self) -> dict[Any, Any]:
        """TFX's operators of executors in this process, with staging, by the type of their specification."""
        staging = self

        class Python(PythonExecutorOperator):
            def run_executor(self, execution_info: ExecutionInfo) -> execution_result_pb2.ExecutorOutput:
                staging.fetch_inputs(execution_info)
                return staging.store_outputs(super().run_executor(execution_info))

        class Beam(BeamExecutorOperator):
            def run_executor(
                self, execution_info: ExecutionInfo, make_beam_pipeline_fn: Any = None
            ) -> execution_result_pb2.ExecutorOutput:
                staging.fetch_inputs(execution_info)
                return staging.store_outputs(super().run_executor(execution_info, make_beam_pipeline_fn))

        return {
            executable_spec_pb2.PythonClassExecutableSpec: Python,
            executable_spec_pb2.BeamExecutableSpec: Beam,
        }

    def fetch_inputs(self, execution: ExecutionInfo) -> None:
        """Downloads the inputs of an executor that this task does not have yet.

        Raises:
          StoreError: an artifact is missing in the store, or differs from what was stored.
          StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails.
        """
        for artifact in (artifact for group in execution.input_dict.values() for artifact in group):
            if artifact.uri not in self._here:
                self._fetch(artifact)
                self._here.add(artifact.uri)

    def _fetch(self, artifact: types.Artifact) -> None:
        found = artifact.mlmd_artifact
        if damage(found) is None:
            return
        logging.info("Downloading %s", artifact.uri)
        self._stored.fetch_artifact(artifact.uri)
        if wrong := damage(found):
            place = wrong.replace(str(self._stored.folder), self._stored.url, 1)
            raise StoreError(
                f"{place}: is missing in the store, or differs from what was stored. Restore it, or start another run: "
                "it makes damaged artifacts again"
            )

    def store_outputs(self, output: execution_result_pb2.ExecutorOutput) -> execution_result_pb2.ExecutorOutput:
        """Uploads the outputs of an executor, if it succeeded. Returns `output`, with digests of the files.

        Raises:
          StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails.
        """
        if output.execution_result.code == 0:
            artifacts = [artifact for group in output.output_artifacts.values() for artifact in group.artifacts]
            made = add_digests(artifacts)
            for artifact in made:
                logging.info("Uploading %s", artifact.uri)
            self._stored.store_artifacts((artifact.uri, digests_of(artifact)) for artifact in made)
            self._here |= {artifact.uri for artifact in made}
        return output
