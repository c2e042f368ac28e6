"""The arguments of a task, as `pipeline.kubeflow.containers` writes them and Kubeflow fills them in."""

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


def parser(program: str, outputs: Sequence[str]) -> argparse.ArgumentParser:
    """A parser for the arguments that all tasks have, and for the paths of `outputs`."""
    made = argparse.ArgumentParser(prog=program, allow_abbrev=False)
    for name in ("run-id", "data", "span", "root", "config", "graph", "all-nodes", "metadata", *outputs):
        made.add_argument(f"--{name}", required=True)
    made.add_argument("--nodes")
    made.add_argument("--accept-anomalies", default="")
    made.add_argument("--schema")
    made.add_argument("--set", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"))
    return made


def checked_root(text: str) -> Root:
    """The root that a run parameter names.

    Raises:
      ConfigError: it is not an absolute path.
    """
    if not text.startswith("/"):
        raise ConfigError(
            f"run parameter pipeline_root: must be an absolute path on a volume of the tasks (got {text!r})"
        )
    return Root(Path(text))


def read_config(told: argparse.Namespace, root: Root) -> PipelineConfig:
    """The configuration of a run: the compiled one with the parameters of the run on top.

    Raises:
      ConfigError: a run parameter breaks a rule of the pipeline file.
    """
    tree = _compiled(told)
    tree["data"]["path"] = at_span(told.data, told.span)
    if told.schema is not None:
        tree["schema"] = str(_write_schema(root, json.loads(told.schema)))
    return build_config(tree, [f"{key}={value}" for key, value in told.set], "run parameters")


def facts(told: argparse.Namespace) -> dict[str, Any]:
    """What a submission asks for: equal for all of its tasks and their attempts, and different for another one."""
    names = ("data", "span", "root", "config", "graph", "schema", "accept_anomalies", "set")
    return {name: getattr(told, name) for name in names}


def empty_record(told: argparse.Namespace, run_id: str, config: PipelineConfig | None) -> RunRecord:
    """The record of a run that has done nothing; without `config`, with the compiled one."""
    if config is not None:
        return RunRecord.begin(config, run_id)
    tree = _compiled(told)
    return RunRecord(pipeline=tree["name"], run_id=run_id, config=tree)


def _compiled(told: argparse.Namespace) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(told.config)
    return tree


def _write_schema(root: Root, text: str) -> Path:
    """Puts the user's own schema where every task finds it. Its name is the digest of its content."""
    path = root.path / "schemas" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.pbtxt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_suffix(f".{os.urandom(8).hex()}.staged")
        staged.write_text(text, encoding="utf-8")
        staged.rename(path)
    return path
