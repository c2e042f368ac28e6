"""The arguments of a task. `pipeline.kubeflow.containers` writes them, and Kubeflow fills in the placeholders."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from errors import ConfigError, RootError
from pipeline.config import PipelineConfig, build_config
from pipeline.kubeflow.parameters import at_span
from pipeline.kubeflow.stored_root import StoredRoot
from pipeline.records.root import Root
from pipeline.records.run_record import RunRecord
from storage.settings import StorageSettings
from storage.urls import SCHEMES_IN_WORDS, is_object


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
    add_root(made)
    made.add_argument("--nodes")
    made.add_argument("--accept-anomalies", default="")
    made.add_argument("--schema")
    made.add_argument("--set", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"))
    return made


def add_root(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments from which `checked_root` finds the root."""
    parser.add_argument("--root", required=True)
    parser.add_argument("--mounts", default='["/"]')
    parser.add_argument("--storage", default="{}")


def checked_root(options: argparse.Namespace) -> Root:
    """Returns the root that a run parameter names: a directory on a volume, or the working copy of a URL.

    Raises:
      ConfigError: the root is neither, or it is the root of local runs.
      StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails.
    """
    text, mounts = options.root, json.loads(options.mounts)
    if not is_object(text):
        if not any(f"{text}/".startswith(f"{mount.rstrip('/')}/") for mount in mounts):
            on = f"an absolute path on a volume of the tasks ({', '.join(mounts)}), or " if mounts else ""
            raise ConfigError(
                f"run parameter pipeline_root: must be {on}a URL that begins with {SCHEMES_IN_WORDS} (got {text!r})"
            )
        return Root(Path(text))
    try:
        root = Root.at(text, "", StorageSettings.model_validate_json(options.storage))
        if stored := StoredRoot.of(root):
            stored.check()
    except RootError as error:
        raise ConfigError(f"run parameter pipeline_root: {str(error).removeprefix('--root: ')}") from None
    return root


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
    """Writes the user's own schema below the root. Its name is the digest of its content."""
    path = root.path / "schemas" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.pbtxt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_suffix(f".{os.urandom(8).hex()}.staged")
        staged.write_text(text, encoding="utf-8")
        staged.rename(path)
    return path
