"""What Kubeflow's user interface shows with a task: states, figures and reasons as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pipeline.kubeflow.node_records import NodeRecord
from pipeline.records.run_record import RunRecord


def describe_nodes(nodes: Iterable[NodeRecord]) -> str:
    """The nodes that a task ran, one section each."""
    return "\n".join(line for node in nodes for line in _node(node))


def describe_run(record: RunRecord) -> str:
    """How a run ended, with its reason, its nodes and its figures."""
    status = record.status.replace("_", " ").capitalize()
    published = f": `{record.published}`" if record.published else ""
    rows = [(node["id"], node["state"], f"{node['seconds']:.1f}") for node in record.components]
    lines = [f"## {status}{published}", "", *_reason(record.error)]
    found = {"metrics": record.metrics, "blessing": record.blessing, **record.data}
    return "\n".join([*lines, *_figures(found), *_table(("node", "state", "seconds"), rows)])


def write(path: Path, text: str) -> None:
    """Writes `text` where Kubeflow takes an output from."""
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
        lines += _rules("blessing rule", blessing)
    if checks := found.get("checks"):
        lines += _rules("check of the data", checks)
    return lines


def _rules(title: str, rules: Sequence[dict[str, Any]]) -> list[str]:
    rows = [(r["rule"], _number(r["value"]), _number(r["bound"]), "ok" if r["ok"] else "NOT MET") for r in rules]
    return _table((title, "value", "bound", ""), rows)


def _reason(error: str | None) -> list[str]:
    return ["```", error, "```", ""] if error else []


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [_row(head), _row(("---",) * len(head)), *map(_row, rows), ""]


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _number(value: float | None) -> str:
    return "none yet" if value is None else f"{value:.4g}"
