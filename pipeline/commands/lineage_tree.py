"""`kindred lineage`: prints the lineage of a run's model as a tree or as JSON."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from errors import ReportError
from kindred.terminal import printable
from pipeline.options import say_json
from pipeline.records import node_ids
from pipeline.records.executions import Executions
from pipeline.records.find_run import find_run
from pipeline.records.lineage import InputData, Lineage, trace

_SHOWN_FILES = 20
_NO_WIDTH = 100_000


def print_lineage(run: str, root: str | None, as_json: bool) -> None:
    """Prints the lineage of the model of `run` to stdout.

    Raises:
      ReportError: there is no such run, or no ML Metadata for it.
    """
    folder = find_run(run, root)
    metadata = folder.root.metadata
    if not metadata.is_file():
        raise ReportError(
            f"{folder.path}: there is no ML Metadata at {metadata}. A run on Kubeflow uses the metadata service of its "
            "cluster"
        )
    summary = folder.read_summary()
    executions = Executions.in_file(metadata)
    done = {entry["id"] for entry in summary["components"] if entry["state"] in ("executed", "cached")}
    # Executions whose results later runs reuse are kept.
    if ({node_ids.EXAMPLE_GEN, node_ids.TRAINER} & done) - set(executions.of_run(summary["run_id"])):
        raise ReportError(f"run {folder.path.name} was pruned, so that ML Metadata has forgotten it. Its record stays")
    lineage = trace(executions, summary, folder.root.runs)
    if as_json:
        say_json(lineage.to_json())
    else:
        tree = as_tree(lineage, summary)
        if sys.stdout.isatty():
            _make_printable(tree)
        # A terminal wraps long lines. A file gets one line per branch.
        width = None if sys.stdout.isatty() else _NO_WIDTH
        Console(file=sys.stdout, width=width, highlight=False).print(tree)


def _make_printable(tree: Tree) -> None:
    tree.label = printable(str(tree.label))
    for branch in tree.children:
        _make_printable(branch)


def as_tree(lineage: Lineage, summary: dict[str, Any]) -> Tree:
    """Returns the tree of `lineage`, the lineage of the run of `summary`."""
    run = summary["run_id"]
    subject = "completed steps of the run" if lineage.model is None else "the model"
    reused = f", reused from run {lineage.run}" if lineage.run != run else ""
    tree = Tree(
        f"[bold]{escape(summary['pipeline'])}[/] run {run} ({summary['status'].replace('_', ' ')}): {subject}{reused}"
    )
    _grow(tree, lineage)
    return tree


def _grow(tree: Tree, lineage: Lineage) -> None:
    if lineage.data:
        _data(tree, lineage.data)
    if lineage.schema:
        tree.add(f"[bold]schema[/] {escape(lineage.schema)}")
    if lineage.preprocessing:
        step = tree.add(f"[bold]preprocessing[/] code {lineage.preprocessing.code}")
        _settings(step, lineage.preprocessing.settings)
    if lineage.model:
        step = tree.add(f"[bold]training[/] code {lineage.model.code}")
        _settings(step, lineage.model.settings)
        if lineage.tuned:
            step.add(f"the Tuner chose {_listed(lineage.tuned)}")
        if lineage.chosen:
            step.add(f"the Trainer chose {_listed(lineage.chosen)}")
    if lineage.versions:
        tree.add(f"[bold]versions[/] {_listed(lineage.versions)}")
    if lineage.model:
        model = tree.add(f"[bold]model[/] {escape(lineage.model.uri)}")
        model.add(f"published as {', '.join(lineage.published)}" if lineage.published else "not published")
        for version, reason in lineage.withdrawn.items():
            model.add(f"{version} is withdrawn since {escape(reason)}")
    if lineage.parent:
        _grow(
            tree.add(f"[bold]parent[/] the model of run {lineage.parent.run}, the base of the warm start"),
            lineage.parent,
        )


def _data(tree: Tree, data: InputData) -> None:
    span = "" if data.span is None else f", span {data.span}"
    rows = ", ".join(f"{count:,} {name}" for name, count in data.rows.items())
    grown = tree.add(f"[bold]data[/] {escape(data.path)}{span} ({rows}, read by run {data.made_in})")
    for file in data.files[:_SHOWN_FILES]:
        grown.add(f"{escape(file.path)}  {file.bytes:,} bytes  {file.digest}")
    if len(data.files) > _SHOWN_FILES:
        grown.add(f"and {len(data.files) - _SHOWN_FILES:,} more files. Use --json to list all of them")
    if not data.files:
        grown.add(f"fingerprint {escape(data.fingerprint)}")
    _settings(grown, {"ingest": data.settings})


def _settings(tree: Tree, sections: dict[str, Any]) -> None:
    for name, section in sections.items():
        tree.add(f"{name}: {_listed(section) if isinstance(section, dict) else _plain(section)}")


def _listed(section: dict[str, Any]) -> str:
    """Returns `key value` pairs in one line, with nested sections in braces."""
    items = (f"{key} {{{_listed(v)}}}" if isinstance(v, dict) else f"{key} {_plain(v)}" for key, v in section.items())
    return escape(", ".join(items))


def _plain(value: object) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
