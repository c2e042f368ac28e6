"""The lineage of a model in ML Metadata: data, code, configuration and parent."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.pair_example_gen.inputs import InputFile, read
from pipeline.records import node_ids
from pipeline.records.executions import Artifact, Execution, Executions
from pipeline.records.run_folder import RunFolder

_DEEPEST = 50


@dataclasses.dataclass(frozen=True)
class InputData:
    """The input data, and the URI of its examples. `span` is None if the path has none."""

    made_in: str
    path: str
    span: int | None
    fingerprint: str
    files: list[InputFile]
    rows: dict[str, int]
    settings: dict[str, Any]
    examples: str


@dataclasses.dataclass(frozen=True)
class Step:
    """A step with the digest of its code, its settings, and the URI of its result."""

    made_in: str
    code: str
    settings: dict[str, Any]
    uri: str


@dataclasses.dataclass(frozen=True)
class Lineage:
    """The lineage of a model, complete up to the last step of its run.

    Attributes:
      chosen: the settings that the Trainer chose in place of those of `model`.
      withdrawn: the time and the reason of each version in `published` that is withdrawn.
      parent: the base of a warm start.
    """

    pipeline: str
    run: str
    data: InputData | None = None
    schema: str | None = None
    preprocessing: Step | None = None
    model: Step | None = None
    tuned: dict[str, Any] | None = None
    chosen: dict[str, Any] | None = None
    published: list[str] = dataclasses.field(default_factory=list)
    withdrawn: dict[str, str] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    parent: Lineage | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns a JSON-compatible tree."""
        return dataclasses.asdict(self)


def trace(executions: Executions, summary: dict[str, Any], runs: Path) -> Lineage:
    """Returns the lineage of the run of `summary` (`summary.json`). `runs` holds the records of other runs."""
    nodes = executions.of_run(summary["run_id"])
    model = _output(nodes.get(node_ids.TRAINER), "model")
    if model is not None:
        lineage = _of_model(executions, model, summary["pipeline"], runs, _DEEPEST)
        assert lineage, "every artifact of a recorded run has a creator"
        return lineage
    examples = _output(nodes.get(node_ids.EXAMPLE_GEN), "examples")
    return Lineage(
        summary["pipeline"],
        summary["run_id"],
        data=_data(executions, examples, runs),
        schema=_schema(executions, _output(nodes.get(node_ids.SCHEMA), "schema")),
        preprocessing=_step(executions, _output(nodes.get(node_ids.TRANSFORM), "transform_graph")),
        versions=summary.get("versions", {}),
    )


def _of_model(executions: Executions, model: Artifact, pipeline: str, runs: Path, depth: int) -> Lineage | None:
    """Returns the lineage of a model, or None if its run was pruned."""
    made = executions.maker(model)
    if made is None:
        return None
    graph = made.input("transform_graph")
    transform = executions.maker(graph) if graph else None
    published = sorted(set(_published(executions, runs, model)))
    withdrawn = {_shown(place, runs): reason for place, reason in executions.withdrawals().items()}
    base, best = made.input("base_model"), made.input("hyperparameters")
    return Lineage(
        pipeline,
        made.run_id,
        data=_data(executions, made.input("examples"), runs),
        schema=_schema(executions, transform.input("schema") if transform else None),
        preprocessing=_step(executions, graph),
        model=_step(executions, model),
        tuned=_tuned(best) if best else None,
        chosen=(_record(runs, made.run_id).get("search") or {}).get("values"),
        published=published,
        withdrawn={name: withdrawn[name] for name in published if name in withdrawn},
        versions=_record(runs, made.run_id).get("versions", {}),
        parent=_of_model(executions, base, pipeline, runs, depth - 1) if base and depth else None,
    )


def _output(execution: Execution | None, key: str) -> Artifact | None:
    return execution.output(key) if execution else None


def _data(executions: Executions, examples: Artifact | None, runs: Path) -> InputData | None:
    made = executions.maker(examples) if examples else None
    if examples is None or made is None:
        return None
    patterns = [split["pattern"] for split in json.loads(made.properties["input_config"])["splits"]]
    return InputData(
        made_in=made.run_id,
        path=", ".join(os.path.join(made.properties["input_base"], pattern) for pattern in patterns),
        span=int(made.properties["span"]) if _has_span(runs, made) else None,
        fingerprint=str(made.properties.get("input_fingerprint", "")),
        files=read(examples.uri),
        rows={name: int(examples.properties[f"rows_{name}"]) for name in ("read", "train", "eval")},
        settings=json.loads(made.properties["settings"]),
        examples=examples.uri,
    )


def _has_span(runs: Path, made: Execution) -> bool:
    """Returns whether the path had a span. TFX's driver also records span 0 for paths without one."""
    path = _record(runs, made.run_id).get("config", {}).get("data", {}).get("path", "")
    return "{" in path or int(made.properties["span"]) > 0


def _schema(executions: Executions, schema: Artifact | None) -> str | None:
    made = executions.maker(schema) if schema else None
    return str(made.properties["schema_file"]) if made else None


def _step(executions: Executions, artifact: Artifact | None) -> Step | None:
    made = executions.maker(artifact) if artifact else None
    if artifact is None or made is None:
        return None
    settings = json.loads(made.properties["custom_config"])
    in_settings = settings.pop("code", "")  # older runs have no property `code`
    return Step(made.run_id, str(made.properties.get("code", in_settings)), settings, artifact.uri)


def _tuned(best: Artifact) -> dict[str, Any] | None:
    """Returns the best settings of the trials."""
    for path in sorted(Path(best.uri).glob("*.txt")):
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")).get("values", {})
        return values
    return None


def _published(executions: Executions, runs: Path, model: Artifact) -> Iterator[str]:
    """Returns every version that was published from `model`."""
    for pushed in executions.made_from(model, "pushed_model"):
        if pushed.properties.get("pushed"):
            yield _shown(str(pushed.properties["pushed_destination"]), runs)


def _shown(destination: str, runs: Path) -> str:
    """Returns the path of a version relative to the root, or as it is if it is elsewhere."""
    relative = os.path.relpath(destination, runs.parent) if "://" not in destination else destination
    return destination if relative.startswith("..") else relative


def _record(runs: Path, run_id: str) -> dict[str, Any]:
    folder = RunFolder(runs / run_id)
    return folder.read_summary() if folder.is_recorded() else {}
