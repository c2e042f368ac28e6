"""Reads configuration files in protobuf text format whose messages are missing from `tensorflow-serving-api`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2

from serving.model_server.faults import invalid

_F = descriptor_pb2.FieldDescriptorProto
_WRAPPERS = wrappers_pb2.DESCRIPTOR.name
_PACKAGE = "kindred.serving"

# (name, number, type or message, repeated)
_MESSAGES: dict[str, list[tuple[str, int, int | str, bool]]] = {
    "PrometheusConfig": [("enable", 1, _F.TYPE_BOOL, False), ("path", 2, _F.TYPE_STRING, False)],
    "MonitoringConfig": [("prometheus_config", 1, f".{_PACKAGE}.PrometheusConfig", False)],
    "SSLConfig": [
        ("server_key", 1, _F.TYPE_STRING, False),
        ("server_cert", 2, _F.TYPE_STRING, False),
        ("custom_ca", 3, _F.TYPE_STRING, False),
        ("client_verify", 4, _F.TYPE_BOOL, False),
    ],
    "BatchingParameters": [
        ("max_batch_size", 1, ".google.protobuf.Int64Value", False),
        ("batch_timeout_micros", 2, ".google.protobuf.Int64Value", False),
        ("max_enqueued_batches", 3, ".google.protobuf.Int64Value", False),
        ("num_batch_threads", 4, ".google.protobuf.Int64Value", False),
        ("thread_pool_name", 5, ".google.protobuf.StringValue", False),
        ("allowed_batch_sizes", 6, _F.TYPE_INT64, True),
        ("pad_variable_length_inputs", 7, _F.TYPE_BOOL, False),
        ("enable_large_batch_splitting", 8, ".google.protobuf.BoolValue", False),
        ("max_execution_batch_size", 9, ".google.protobuf.Int64Value", False),
    ],
}


def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(
        name="kindred/serving/config.proto", package=_PACKAGE, syntax="proto3", dependency=[_WRAPPERS]
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            label = _F.LABEL_REPEATED if repeated else _F.LABEL_OPTIONAL
            entry = message.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                entry.type, entry.type_name = _F.TYPE_MESSAGE, kind
            else:
                entry.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return pool


def read(path: Path, message: str, flag: str) -> Any:
    """Reads a message in text format.

    Args:
      path: the file.
      message: the name of the message, a key of `_MESSAGES`.
      flag: the flag that names the file, for error messages.

    Raises:
      Fault: the file cannot be read, or does not contain this message.
    """
    kind = message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{message}"))
    return parse(path, kind(), flag)


def parse(path: Path, message: Any, flag: str) -> Any:
    """Reads a file in text format into `message`, and returns it.

    Raises:
      Fault: the file cannot be read, or does not contain such a message.
    """
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), message)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise invalid(f"--{flag} {path}: not a {message.DESCRIPTOR.name} in text format: {error}") from None
