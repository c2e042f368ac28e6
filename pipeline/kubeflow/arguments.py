"""The arguments of a task. `pipeline.kubeflow.containers` writes them, and Kubeflow fills in the placeholders."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from errors import ConfigError
from pipeline.config import PipelineConfig, build_config
from pipeline.kubeflow.parameters import at_span
from pipeline.records.root import Root
from pipeline.records.run_record import RunRecord


def parser(program: str, outputs: Sequence[str], optional: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Returns a parser for the arguments that all tasks have and for the paths of `outputs`.

    Args:
      program: the name of the program in messages.
      outputs: the outputs that each such task has.
      optional: the outputs that some of the tasks have.
    """
    made = argparse.ArgumentParser(prog=program, allow_abbrev=False)
    for name in (
        "run-id",
        "data",
        "span",
        "root",
        "config",
        "graph",
        "all-nodes",
        "metadata",
        "executor-input",
        *outputs,
    ):
        made.add_argument(f"--{name}", required=True)
    for name in optional:
        made.add_argument(f"--{name}")
    made.add_argument("--nodes")
    made.add_argument("--accept-anomalies", default="")
    made.add_argument("--schema")
    made.add_argument("--set", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"))
    return made


def checked_root(text: str) -> Root:
    """Returns the root that a run parameter names.

    Raises:
      ConfigError: `text` is not an absolute path.
    """
    if not text.startswith("/"):
        raise ConfigError(
            f"run parameter pipeline_root: must be an absolute path on a volume of the tasks (got {text!r})"
        )
    return Root(Path(text))


def read_config(options: argparse.Namespace, root: Root) -> PipelineConfig:
    """Returns the compiled configuration, updated with the parameters of the run.

    Raises:
      ConfigError: a run parameter breaks a rule of the pipeline file.
    """
    tree = _compiled(options)
    tree["data"] |= at_span(tree["data"] | {"path": options.data}, options.span)
    if options.schema is not None:
        tree["schema"] = str(_write_schema(root, json.loads(options.schema)))
    return build_config(tree, [f"{key}={value}" for key, value in options.set], "run parameters")


def facts(options: argparse.Namespace) -> dict[str, Any]:
    """Returns the request of a submission. It is equal in all tasks and attempts of one submission."""
    names = ("data", "span", "root", "config", "graph", "schema", "accept_anomalies", "set")
    return {name: getattr(options, name) for name in names}


def empty_record(options: argparse.Namespace, run_id: str, config: PipelineConfig | None) -> RunRecord:
    """Returns the record of a run before its first node. Without `config`, uses the compiled configuration."""
    if config is not None:
        return RunRecord.begin(config, run_id)
    tree = _compiled(options)
    return RunRecord(pipeline=tree["name"], run_id=run_id, config=tree)


def _compiled(options: argparse.Namespace) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(options.config)
    return tree


def _write_schema(root: Root, text: str) -> Path:
    """Writes the user's own schema to the volume. Its name is the digest of its content."""
    path = root.path / "schemas" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.pbtxt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_suffix(f".{os.urandom(8).hex()}.staged")
        staged.write_text(text, encoding="utf-8")
        staged.rename(path)
    return path
