"""The parameters of a run on Kubeflow: the settings that may change between runs of one compiled package."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from components.pair_example_gen.settings import SpanSettings
from errors import ConfigError
from kindred import advice
from pipeline.config import PipelineConfig
from pipeline.config.json_schema import meaning_of

DATA_PATH, SPAN, ROOT, ACCEPT = advice.DATA, "span", advice.ROOT, advice.ACCEPT
LATEST = "latest"
Value = bool | int | float | str

_MEANINGS = {
    DATA_PATH: "The data to read, as tasks see them. See data.path in the pipeline file.",
    SPAN: f"The number or the date of the span to read, instead of {LATEST}. With data.spans, the newest of them.",
    ROOT: "Where tasks keep artifacts, records of runs and published models: a path on their volume, or a URL.",
    ACCEPT: "The reason for accepting the data in this run although a rule of the gate is broken. Empty: do not.",
}

_SPAN_FIELD = re.compile(r"\{SPAN(?::(\d+))?\}")
_DATE_FIELDS = ("{YYYY}", "{MM}", "{DD}")
_ONE_SPAN = SpanSettings(latest=1).model_dump(mode="json")


@dataclasses.dataclass(frozen=True)
class RunParameter:
    """A parameter of a run.

    Attributes:
      name: the name on Kubeflow.
      key: the key in the pipeline file, or None.
      default: the value in the compiled package.
      description: the meaning, or None if the pipeline file's documentation has none.
    """

    name: str
    key: str | None
    default: Value
    description: str | None = None


def run_parameters(config: PipelineConfig, root: str) -> list[RunParameter]:
    """Returns every parameter of a run: data, span, root, `accept_anomalies`, and the keys in `kubeflow.parameters`.

    Omits keys whose value is null, because parameters of Kubeflow have a type.

    Raises:
      ConfigError: a key in `kubeflow.parameters` does not exist, or it cannot change between runs.
    """
    parameters = [
        RunParameter(DATA_PATH, "data.path", config.data.path, _MEANINGS[DATA_PATH]),
        RunParameter(SPAN, None, LATEST, _MEANINGS[SPAN]),
        RunParameter(ROOT, None, root, _MEANINGS[ROOT]),
        RunParameter(ACCEPT, None, "", _MEANINGS[ACCEPT]),
    ]
    tree = config.to_json()
    for key in config.kubeflow.parameters:
        parameters += [
            RunParameter(leaf.replace(".", "_"), leaf, value, meaning_of(leaf)) for leaf, value in _leaves(tree, key)
        ]
    for parameter in parameters:
        check_value(parameter.name, parameter.default)
    names = [parameter.name for parameter in parameters]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"kubeflow.parameters: duplicate parameter {twice}; name each section once")
    return parameters


def check_value(name: str, value: object) -> None:
    """Checks that a value reaches a task unchanged.

    Raises:
      ConfigError: Kubernetes would expand the value in the command of a pod.
    """
    if isinstance(value, str) and ("$$" in value or "$(" in value):
        raise ConfigError(f"run parameter {name}: must not contain $$ or $(, which Kubernetes expands (got {value!r})")


def _leaves(tree: dict[str, Any], key: str) -> Iterator[tuple[str, Value]]:
    """Yields the keys and values at or below `key` that can be parameters."""
    value: Any = tree
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            raise ConfigError(f"kubeflow.parameters: no such key of the pipeline file (got {key!r})")
        value = value[part]
    if key.split(".")[0] in ("name", "schema", "kubeflow"):
        raise ConfigError(f"kubeflow.parameters: {key} determines the package, so it cannot be a run parameter")
    if isinstance(value, dict):
        for name in value:
            yield from _leaves(tree, f"{key}.{name}")
    elif isinstance(value, bool | int | float | str):
        yield key, value


def is_parameter(config: PipelineConfig, key: str) -> bool:
    """Returns whether `key` of the pipeline file is a run parameter."""
    return any(parameter.key == key for parameter in run_parameters(config, ""))


def at_span(data: dict[str, Any], span: str) -> dict[str, Any]:
    """Returns section `data` for a span: the one to read, or the newest one if the section wants several spans.

    One span replaces `{SPAN}` or the date fields in `data.path`. Several spans end at `span` (`data.spans.last`). With
    `latest`, the section stays as it is.

    Raises:
      ConfigError: the path has no span, or `span` is not a number (for dates: not YYYY-MM-DD).
    """
    if span == LATEST:
        return data
    path = _filled_in(data["path"], span)
    if data.get("spans", _ONE_SPAN) == _ONE_SPAN and not data.get("age_weight"):
        return data | {"path": path}
    return data | {"spans": data["spans"] | {"last": int(span) if span.isdecimal() else span}}


def _filled_in(path: str, span: str) -> str:
    if _SPAN_FIELD.search(path):
        if not span.isdecimal():
            raise ConfigError(f"span: must be a number, or {LATEST} (got {span!r})")
        return _SPAN_FIELD.sub(lambda found: span.zfill(int(found[1] or 0)), path)
    if all(field in path for field in _DATE_FIELDS):
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", span):
            raise ConfigError(f"span: must be a date as YYYY-MM-DD, or {LATEST} (got {span!r})")
        for field, digits in zip(_DATE_FIELDS, span.split("-"), strict=True):
            path = path.replace(field, digits)
        return path
    raise ConfigError(f"span: data.path {path} has no span; leave the parameter at {LATEST} (got {span!r})")
