"""Writes TensorFlow Serving's services as a protoset, by which grpcurl knows them: `python -m serving.protoset FILE`.

TensorFlow Serving does not describe itself (it has no reflection service), and neither does kindred-model-server.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2

from serving.quick_import import import_tensorflow


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes a FileDescriptorSet to the file that is named."""
    (path,) = sys.argv[1:] if arguments is None else arguments
    import_tensorflow()
    from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, prediction_service_pb2

    files = descriptor_pb2.FileDescriptorSet()
    seen: set[str] = set()
    for module in (prediction_service_pb2, get_model_status_pb2, model_management_pb2):
        for file in _with_dependencies(module.DESCRIPTOR, seen):
            file.CopyToProto(files.file.add())
    files.file.append(_model_service())
    Path(path).write_bytes(files.SerializeToString())


def _model_service() -> Any:
    """The file of ModelService, whose module in `tensorflow-serving-api` is too old for protobuf to import."""
    folder, package = "tensorflow_serving/apis", "tensorflow.serving"
    file = descriptor_pb2.FileDescriptorProto(name=f"{folder}/model_service.proto", package=package, syntax="proto3")
    file.dependency.extend([f"{folder}/get_model_status.proto", f"{folder}/model_management.proto"])
    service = file.service.add(name="ModelService")
    for method, message in (("GetModelStatus", "GetModelStatus"), ("HandleReloadConfigRequest", "ReloadConfig")):
        service.method.add(
            name=method, input_type=f".{package}.{message}Request", output_type=f".{package}.{message}Response"
        )
    return file


def _with_dependencies(file: Any, seen: set[str]) -> Iterator[Any]:
    """`file` after everything that it imports, but for what is `seen`."""
    if file.name in seen:
        return
    seen.add(file.name)
    for dependency in file.dependencies:
        yield from _with_dependencies(dependency, seen)
    yield file


if __name__ == "__main__":
    main()
