"""Markdown for Kubeflow's user interface: the states, figures and errors of a task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from components.evaluator.rules import RuleResult
from pipeline.kubeflow.node_records import NodeRecord
from pipeline.records.run_record import RunRecord


def describe_nodes(nodes: Iterable[NodeRecord]) -> str:
    """Returns a section for each node that a task ran."""
    return "\n".join(line for node in nodes for line in _node(node))


def describe_run(record: RunRecord) -> str:
    """Returns the status of a run, with its error, its nodes and its figures."""
    status = record.status.replace("_", " ").capitalize()
    published = f": `{record.published}`" if record.published else ""
    rows = [(node["id"], node["state"], f"{node['seconds']:.1f}") for node in record.components]
    lines = [f"## {status}{published}", "", *_reason(record.error)]
    found = {"metrics": record.metrics, "blessing": record.blessing, **record.data}
    return "\n".join([*lines, *_figures(found), *_table(("node", "state", "seconds"), rows)])


def write(path: Path, text: str) -> None:
    """Writes `text` to the path of an output."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _node(node: NodeRecord) -> list[str]:
    lines = [f"## {node.id}: {node.state} in {node.seconds:.1f} s", "", node.detail, ""]
    return [*lines, *_figures(node.found | node.found.get("data", {})), *_reason(node.error)]


def _figures(found: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    if metrics := found.get("metrics"):
        lines += _table(("metric", "value"), [(name, f"{value:.4f}") for name, value in metrics.items()])
    if blessing := found.get("blessing"):
        texts = [(entry["rule"], RuleResult.of_summary(entry).texts) for entry in blessing]
        rows = [(rule, text.value, text.bound, text.verdict) for rule, text in texts]
        lines += _table(("blessing rule", "value", "bound", "verdict"), rows)
    if warnings := found.get("warnings"):
        lines += _table(("column", "warning"), [(warning["column"], warning["text"]) for warning in warnings])
    if checks := found.get("checks"):
        rows = [(c["rule"], f"{c['value']:.4g}", _bound(c["bound"]), "ok" if c["ok"] else "NOT MET") for c in checks]
        lines += _table(("check of the data", "value", "bound", "verdict"), rows)
    return lines


def _reason(error: str | None) -> list[str]:
    return ["```", error, "```", ""] if error else []


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [_row(head), _row(("---",) * len(head)), *map(_row, rows), ""]


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _bound(value: float | None) -> str:
    return "none yet" if value is None else f"{value:.4g}"
