"""`kindred compare`: what differs between two runs in configuration, data and metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from errors import ReportError
from pipeline.commands.paired import METHOD, Paired, compare_models
from pipeline.commands.table import lay_out
from pipeline.records.run_folder import RunFolder

_ABSENT = "–"
_GROUPS = {"configuration": "config", "data": "data", "metrics": "metrics"}
_RESULT = ("pipeline", "status", "published", "seconds")


def compare(first: RunFolder, second: RunFolder, as_json: bool, width: int | None = None) -> str:
    """Returns what differs between two runs.

    Metrics are listed even if they are equal. They are comparable only if both runs held out the same rows. Then their
    differences have intervals, which need the models and the rows of both runs.

    Args:
      first: the folder of a run.
      second: the folder of the other run.
      as_json: whether to return JSON.
      width: the columns of the terminal. None: those of this one.

    Raises:
      ReportError: a record cannot be read.
    """
    before, after = _read(first), _read(second)
    groups: dict[str, list[tuple[str, Any, Any]]] = {"result": _differences(_result(before), _result(after))}
    for title, key in _GROUPS.items():
        old, new = (dict(_leaves(summary.get(key, {}))) for summary in (before, after))
        groups[title] = _differences(old, new, keep_equal=key == "metrics")
    names = (first.path.name, second.path.name)
    paired = compare_models(
        first, second, [key for key, *pair in groups["metrics"] if None not in pair and not key.startswith("baseline_")]
    )
    if as_json:
        found = {title: {key: list(pair) for key, *pair in rows} for title, rows in groups.items()}
        return json.dumps({"runs": list(names), **found, "paired": paired.to_json()}, indent=2, ensure_ascii=False)
    lines: list[str] = []
    for title, rows in groups.items():
        cells = [_cells(row, paired if title == "metrics" else None) for row in rows]
        head = (title, *names, "difference", "95 % interval") if title == "metrics" else (title, *names)
        lines += ["", *lay_out(head, cells, width)] if rows else ["", f"{title}: no difference"]
    if groups["metrics"]:
        lines += ["", f"No intervals of differences: {paired.problem}." if paired.problem else f"{METHOD}."]
    return "\n".join(lines[1:])


def _read(folder: RunFolder) -> dict[str, Any]:
    try:
        summary = folder.read_summary()
    except (OSError, ValueError) as error:
        summary, problem = None, str(error)
    else:
        problem = "it is no object"
    if not isinstance(summary, dict):
        raise ReportError(f"{folder.summary}: is no record of a run ({problem}). `kindred verify` checks all records")
    return summary


def _result(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {name: summary[name] for name in _RESULT if summary.get(name) is not None}


def _leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields dotted keys and their values. Lists are values."""
    if isinstance(tree, Mapping) and tree:
        for name, value in tree.items():
            yield from _leaves(value, f"{prefix}.{name}" if prefix else str(name))
    elif prefix:
        yield prefix, tree


def _differences(
    before: Mapping[str, Any], after: Mapping[str, Any], keep_equal: bool = False
) -> list[tuple[str, Any, Any]]:
    keys = dict.fromkeys([*before, *after])
    pairs = [(key, before.get(key), after.get(key)) for key in keys]
    return [(key, a, b) for key, a, b in pairs if keep_equal or a != b]


def _cells(row: tuple[str, Any, Any], paired: Paired | None) -> tuple[str, ...]:
    key, *values = row
    cells = (key, *map(_text, values))
    if paired is None:
        return cells
    both = all(isinstance(value, int | float) for value in values)
    interval = "{:+.4f} to {:+.4f}".format(*paired.intervals[key]) if key in paired.intervals else ""
    return (*cells, f"{values[1] - values[0]:+.4f}" if both else "", interval)


def _text(value: Any) -> str:
    if value is None:
        return _ABSENT
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
