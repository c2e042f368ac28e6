"""The models to serve, from a ModelServerConfig."""

from __future__ import annotations

import collections
import dataclasses
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.model_server.faults import Fault, invalid
from serving.model_server.log_objects import is_prefix
from serving.model_server.versions import Policy

_EXAMPLE = 'model_config_list { config { name: "words" base_path: "/models/words" } }'


# The kinds of log_collector_config.type. TensorFlow Serving looks it up among the collectors of its build.
_COLLECTORS = ("", "file")


@dataclasses.dataclass(frozen=True)
class LoggingSettings:
    """Which requests of a model are logged: the beginning of the path of the files, and the share of requests."""

    prefix: str
    rate: float


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """One model: its directory of versions, the versions to serve, their labels, and the log of its requests."""

    name: str
    base_path: str
    policy: Policy = dataclasses.field(default_factory=Policy)
    labels: tuple[tuple[str, int], ...] = ()
    logging: LoggingSettings | None = None


def read_config_file(path: Path) -> list[ServedModel]:
    """Reads a ModelServerConfig file in text format.

    Raises:
      Fault: the file is not a ModelServerConfig, or it cannot be served.
    """
    config = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), config)
    except (OSError, UnicodeDecodeError) as error:
        raise invalid(f"--model_config_file {path}: the file cannot be read as text: {error}") from None
    except text_format.ParseError as error:
        place = f"line {error.GetLine()}: " if error.GetLine() else ""
        problem = str(error).split(" : ", 1)[-1].rstrip(".")
        raise invalid(
            # As in TensorFlow Serving, whose users search for this text.
            f"--model_config_file {path}: {place}Error parsing text-format tensorflow.serving.ModelServerConfig: "
            f"{problem}. Write, for example, {_EXAMPLE}"
        ) from None
    try:
        return models_of(config)
    except Fault as fault:
        raise invalid(f"--model_config_file {path}: {fault.message}") from None


def models_of(config: Any) -> list[ServedModel]:
    """Converts a ModelServerConfig message.

    Raises:
      Fault: a name is missing or duplicate, a path is relative, or the platform is not TensorFlow.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise invalid(
            "a ModelServerConfig must have a model_config_list. Other configurations are not supported. Write, for "
            f"example, {_EXAMPLE}"
        )
    models = [_model(entry) for entry in config.model_config_list.config]
    names = [model.name for model in models]
    for name, count in collections.Counter(names).items():
        if count > 1:
            raise invalid(f"Illegal to list model {name} multiple times in config list")
    return models


def _model(entry: Any) -> ServedModel:
    if not entry.name:
        raise invalid("a model in the config list has no name")
    if "://" not in entry.base_path and not entry.base_path.startswith("/"):
        raise invalid(
            f"Expected model {entry.name} to have an absolute path or URI; got base_path()={entry.base_path!r}"
        )
    if entry.model_platform not in ("", "tensorflow"):
        raise invalid(f"Model {entry.name} requests unsupported platform {entry.model_platform}")
    labels = tuple(sorted((label, int(version)) for label, version in entry.version_labels.items()))
    logged = _logging(entry.name, entry.logging_config) if entry.HasField("logging_config") else None
    return ServedModel(entry.name, entry.base_path, _policy(entry.model_version_policy), labels, logged)


def _logging(name: str, message: Any) -> LoggingSettings | None:
    """Converts a LoggingConfig. Returns None if it logs nothing."""
    rate, collector = message.sampling_config.sampling_rate, message.log_collector_config
    if not 0 <= rate <= 1:
        raise invalid(f"model {name}: logging_config: sampling_rate must be between 0 and 1 (got {rate:g})")
    if collector.type not in _COLLECTORS:
        raise invalid(
            f'model {name}: logging_config: log_collector_config.type {collector.type!r} is unknown. Use "file"'
        )
    prefix = collector.filename_prefix
    if rate and not prefix.startswith("/") and not is_prefix(prefix):
        raise invalid(
            f"model {name}: logging_config: log_collector_config.filename_prefix must be an absolute path, such as "
            f"/var/log/{name}/requests, or the URL of an object store, such as s3://BUCKET/{name}/requests "
            f"(got {prefix!r})"
        )
    return LoggingSettings(prefix, rate) if rate else None


def _policy(message: Any) -> Policy:
    kind = message.WhichOneof("policy_choice") or "latest"
    if kind == "specific":
        return Policy("specific", versions=frozenset(message.specific.versions))
    return Policy("all") if kind == "all" else Policy("latest", count=max(int(message.latest.num_versions), 1))
