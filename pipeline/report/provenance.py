"""Timings of the components, and the lineage of the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from pipeline.config import yaml_file
from pipeline.records.lineage import Lineage, trace
from pipeline.report import words
from pipeline.report.sources import Absent, Run

_LONGEST_LINEAGE = 20


@dataclasses.dataclass(frozen=True)
class Timing:
    """A component: its state, duration, and the start and width of its bar in percent of the total."""

    id: str
    state: str
    seconds: str
    start: float
    width: float


@dataclasses.dataclass(frozen=True)
class Timings:
    """Every component in the order of execution."""

    total: str
    other: str
    rows: Sequence[Timing]


def timings(run: Run) -> Timings:
    """Returns the duration of each component."""
    components = run.summary["components"]
    if not components:
        raise Absent("No component has finished yet." if run.progress else "No component started.")
    whole = max(sum(component["seconds"] for component in components), 1e-9)
    rows, start = [], 0.0
    for component in components:
        part = 100 * component["seconds"] / whole
        rows.append(
            Timing(
                component["id"],
                component["state"],
                words.seconds(component["seconds"]),
                round(start, 2),
                round(part, 2),
            )
        )
        start += part
    rest = max(run.summary["seconds"] - whole, 0.0)
    return Timings(words.seconds(run.summary["seconds"]), words.seconds(rest), rows)


@dataclasses.dataclass(frozen=True)
class Provenance:
    """The model, its ancestors, and the configuration of this run."""

    generations: Sequence[Lineage]
    reused: bool
    config: str


def provenance(run: Run) -> Provenance:
    """Returns the lineage of the model, complete up to the last step of the run."""
    if run.executions is None:
        raise Absent(f"There is no ML Metadata at {run.root}.")
    newest = trace(run.executions, run.summary, run.folder.root.runs)
    generations: list[Lineage] = []
    current: Lineage | None = newest
    while current is not None and len(generations) < _LONGEST_LINEAGE:
        generations.append(current)
        current = current.parent
    return Provenance(generations, newest.run != run.summary["run_id"], _as_yaml(run.config))


def _as_yaml(config: dict[str, Any]) -> str:
    """Returns the configuration as in a pipeline file, without settings for clusters only."""
    shown = {key: value for key, value in config.items() if key != "kubeflow"}
    return yaml_file.dump(shown, allow_unicode=True)
