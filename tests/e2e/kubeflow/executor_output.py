"""Emulates what KFP's launcher tells a command about its outputs, and what the command may answer.

Source: backend/src/v2/component/launcher_v2.go, 2.15.0 and 2.16.1, unless a rule names another file.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.e2e.kubeflow.errors import PackageError
from tests.e2e.kubeflow.values import Value, refuse_constant

ExecutorOutput = pipeline_spec_pb2.ExecutorOutput

_BUCKET = "minio://mlpipeline/v2/artifacts"
"""The default root of pipelines. objectstore/config.go (PrefixedBucket) counts its folders to the bucket."""
_SCHEMES = ("gs", "minio", "s3")


@dataclasses.dataclass(frozen=True)
class Recorded:
    """An artifact in KFP's own ML Metadata.

    Attributes:
      kind: its type, such as system.Metrics.
      uri: its place in object storage.
      properties: its custom properties.
    """

    kind: str
    uri: str
    properties: dict[str, Any]


class Outputs:
    """The outputs of one task.

    Args:
      kinds: the type of each output artifact.
      files: the path of each output parameter.
      task: the path of the task in the run.
      pod: the folder in place of the file system of a pod.
    """

    def __init__(self, kinds: Mapping[str, str], files: Mapping[str, Path], task: str, pod: Path) -> None:
        self._kinds, self._files, self._pod = kinds, files, pod
        # driver/driver.go (provisionOutputs): all outputs of a task have one folder below the root of the pipeline.
        self._root = f"{_BUCKET}/{task}"
        self.places = {name: self._local(self._uri(name)) for name in kinds}
        self.file = self._local(self._root) / "output_metadata.json"

    def executor_input(self, inputs: Mapping[str, Value]) -> str:
        """Returns the text for {{$}}: protojson of ExecutorInput, with the defaults of addDefaultParams."""
        artifacts = {
            name: {"artifacts": [{"name": name, "uri": self._uri(name), "type": {"schemaTitle": kind}}]}
            for name, kind in self._kinds.items()
        }
        parameters = {name: {"outputFile": str(path)} for name, path in self._files.items()}
        outputs = {"artifacts": artifacts, "parameters": parameters, "outputFile": str(self.file)}
        return json.dumps({"inputs": {"parameterValues": dict(inputs)}, "outputs": outputs})

    def read(self) -> ExecutorOutput:
        """getExecutorOutputFile: no file is an empty output, and a file that is no ExecutorOutput fails the task.

        Raises:
          ValueError: the launcher fails.
          PackageError: an artifact that the task does not have. The launcher ignores it.
        """
        output = ExecutorOutput()
        if self.file.exists():
            try:
                text = self.file.read_text(encoding="utf-8")
                # Python reads NaN. Go does not.
                json.loads(text, parse_constant=refuse_constant)
                json_format.Parse(text, output)
            except (json_format.ParseError, ValueError) as error:
                raise ValueError(f'failed to unmarshall ExecutorOutput in file "{self.file}": {error}') from error
        if unknown := output.artifacts.keys() - self._kinds.keys():
            raise PackageError(f"executor output: {', '.join(sorted(unknown))}: the task has no such output")
        return output

    def upload(self, output: ExecutorOutput, store: Path) -> tuple[dict[str, Path], dict[str, Recorded], str]:
        """uploadOutputArtifacts: uploads what exists, and records every output of a task that succeeded.

        "We allow components to not produce output files": a missing file is a warning, and the artifact is recorded.

        Returns:
          The artifacts that were uploaded, those that were recorded, and warnings.

        Raises:
          ValueError: the launcher fails.
        """
        uploaded: dict[str, Path] = {}
        recorded: dict[str, Recorded] = {}
        warnings = ""
        for name, kind in self._kinds.items():
            artifact = self._merged(name, output)
            local = self._path_of(artifact)
            if local is None:
                warnings += f'Output Artifact "{name}" does not have a recognized storage URI "{artifact.uri}"\n'
            elif not artifact.uri.startswith("oci://"):
                self._check_key(name, artifact.uri)
                if not _copied(local, store / name):
                    warnings += f'Local filepath "{local}" does not exist\n'
                else:
                    uploaded[name] = store / name
            recorded[name] = Recorded(kind, artifact.uri, _properties(name, artifact))
        return uploaded, recorded, warnings

    def _merged(self, name: str, output: ExecutorOutput) -> Any:
        """mergeRuntimeArtifacts: takes URI, metadata and custom path of the first artifact, and nothing else."""
        artifact = pipeline_spec_pb2.RuntimeArtifact(name=name, uri=self._uri(name))
        for given in output.artifacts[name].artifacts[:1] if name in output.artifacts else ():
            artifact.uri = given.uri or artifact.uri
            artifact.metadata.MergeFrom(given.metadata)
            if given.custom_path:
                artifact.custom_path = given.custom_path
        return artifact

    def _path_of(self, artifact: Any) -> Path | None:
        """retrieveArtifactPath: None for a URI with an unknown scheme."""
        if artifact.custom_path:
            return Path(artifact.custom_path)
        scheme = artifact.uri.partition("://")[0]
        return self._local(artifact.uri) if scheme in _SCHEMES else None

    def _check_key(self, name: str, uri: str) -> None:
        """objectstore/config.go (KeyFromURI): the artifact must be in the bucket of the pipeline's root."""
        if not uri.startswith(_BUCKET):
            reason = f'URI "{uri}" does not have expected bucket prefix "{_BUCKET}"'
            raise ValueError(f'failed to upload output artifact "{name}": {reason}')

    def _uri(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _local(self, uri: str) -> Path:
        """LocalPathForURI, in the folder of the pod: /minio/BUCKET/KEY."""
        scheme, _, place = uri.partition("://")
        return self._pod / {"gs": "gcs"}.get(scheme, scheme) / place


def _copied(local: Path, target: Path) -> bool:
    """Copies a file or a folder. Returns whether it exists."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if local.is_dir():
        shutil.copytree(local, target)
    elif local.exists():
        shutil.copyfile(local, target)
    return local.exists()


def _properties(name: str, artifact: Any) -> dict[str, Any]:
    """metadata/converter.go (StructValueToMLMDValue): null has no form, and a truth value becomes 0 or 1."""
    for key, value in artifact.metadata.fields.items():
        if value.WhichOneof("kind") in (None, "null_value"):
            reason = f"unknown/unsupported value type of {key}"
            raise ValueError(f'unable to produce MLMD artifact for output "{name}": {reason}')
    found = json_format.MessageToDict(artifact.metadata)
    return {key: int(value) if isinstance(value, bool) else value for key, value in found.items()}
