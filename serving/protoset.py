"""Writes the gRPC services of TensorFlow Serving as a protoset for grpcurl: `python -m serving.protoset FILE`.

grpcurl needs the file because neither TensorFlow Serving nor kindred-model-server offers gRPC reflection.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2

from compat.process import prepare

_FOLDER, _PACKAGE = "tensorflow_serving/apis", "tensorflow.serving"
# Current protobuf cannot import the service modules of `tensorflow-serving-api`. This table lists their methods, each
# with the prefix of its message names.
_SERVICES = {
    "PredictionService": {
        "Classify": "Classification",
        "Regress": "Regression",
        "Predict": "Predict",
        "MultiInference": "MultiInference",
        "GetModelMetadata": "GetModelMetadata",
    },
    "ModelService": {"GetModelStatus": "GetModelStatus", "HandleReloadConfigRequest": "ReloadConfig"},
}
_FILES = {"PredictionService": "prediction_service", "ModelService": "model_service"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes a FileDescriptorSet.

    Args:
      arguments: the path of the output file, the only argument. Defaults to `sys.argv[1:]`.
    """
    (path,) = sys.argv[1:] if arguments is None else arguments
    prepare()
    from tensorflow_serving.apis import (
        classification_pb2,
        get_model_metadata_pb2,
        get_model_status_pb2,
        inference_pb2,
        model_management_pb2,
        predict_pb2,
        regression_pb2,
    )

    prediction = (classification_pb2, get_model_metadata_pb2, inference_pb2, predict_pb2, regression_pb2)
    imports = {"PredictionService": prediction, "ModelService": (get_model_status_pb2, model_management_pb2)}
    files = descriptor_pb2.FileDescriptorSet()
    seen: set[str] = set()
    for service, modules in imports.items():
        for module in modules:
            for file in _with_dependencies(module.DESCRIPTOR, seen):
                file.CopyToProto(files.file.add())
        files.file.append(_service(service, [module.DESCRIPTOR.name for module in modules]))
    Path(path).write_bytes(files.SerializeToString())


def _service(name: str, imports: list[str]) -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{_FOLDER}/{_FILES[name]}.proto", package=_PACKAGE, syntax="proto3", dependency=imports
    )
    service = file.service.add(name=name)
    for method, message in _SERVICES[name].items():
        kinds = (f".{_PACKAGE}.{message}{kind}" for kind in ("Request", "Response"))
        service.method.add(name=method, **dict(zip(("input_type", "output_type"), kinds, strict=True)))
    return file


def _with_dependencies(file: Any, seen: set[str]) -> Iterator[Any]:
    """Yields the imports of `file` recursively, then `file`. Skips the names in `seen`."""
    if file.name in seen:
        return
    seen.add(file.name)
    for dependency in file.dependencies:
        yield from _with_dependencies(dependency, seen)
    yield file


if __name__ == "__main__":
    main()
