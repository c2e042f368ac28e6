"""The input data: rows, files, quarantine, comparison with the last accepted data, and distributions."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from markupsafe import Markup

from components.pair_example_gen import arrival, inputs
from components.pair_example_gen.inputs import InputFile
from components.pair_example_gen.rows import describe_position
from components.pair_statistics.distribution import Distribution, merge
from pipeline.records import node_ids
from pipeline.report import charts, words
from pipeline.report.charts import Axis, Series
from pipeline.report.sources import Absent, Run
from trainer.entity_features.table import read_accounts

_BINS, _RANKS, _SHOWN_ROWS, _SHOWN_REASONS, _SHOWN_FILES, _SHOWN_BYTES = 48, 160, 3, 12, 20, 160


@dataclasses.dataclass(frozen=True)
class Arrived:
    """The files, and a table with a row per figure and a column per split and for the last accepted data."""

    path: str
    arrival: Sequence[str]
    files: Sequence[InputFile]
    more_files: int
    columns: Sequence[str]
    figures: Sequence[tuple[str, Sequence[str]]]
    dropped: int
    sample: float | None
    warnings: Sequence[tuple[str, str]]


def arrived(run: Run) -> Arrived:
    """Returns the summary of the input."""
    examples = run.uri(node_ids.EXAMPLE_GEN, "examples")
    input_files, record = inputs.read(examples), arrival.read(examples)
    data = run.summary["data"]
    if not data:
        raise Absent(run.why_not(node_ids.EXAMPLE_GEN))
    try:
        columns, figures = _figures(run)
    except Absent:
        columns, figures = _counts(data["splits"])
    kept = sum(data["splits"].values())
    return Arrived(
        path=run.config["data"]["path"],
        arrival=[
            *(record.describe() if record else []),
            *(f"{side} features: {account.describe()}" for side, account in read_accounts(examples).items()),
        ],
        files=input_files[:_SHOWN_FILES],
        more_files=max(len(input_files) - _SHOWN_FILES, 0),
        columns=columns,
        figures=figures,
        dropped=data["rows"] - data["quarantined"] - data.get("weightless", 0) - kept,
        sample=data.get("statistics_sample"),
        warnings=[(found["column"], found["text"]) for found in data.get("warnings", [])],
    )


_MOMENTS: dict[str, Callable[[np.ndarray], Any]] = {
    "mean score": np.mean,
    "standard deviation": np.std,
    "lowest": np.min,
    "highest": np.max,
}


def _counts(splits: dict[str, int]) -> tuple[list[str], list[tuple[str, Sequence[str]]]]:
    return list(splits), [("pairs", [words.count(rows) for rows in splits.values()])]


def _figures(run: Run) -> tuple[list[str], list[tuple[str, Sequence[str]]]]:
    parts = dict(run.splits)
    if run.last_accepted:
        parts |= {"all": merge(list(run.splits.values())), "last accepted": merge(list(run.last_accepted.values()))}
    rows: list[tuple[str, Sequence[str]]] = [
        ("pairs", [words.count(part.rows) for part in parts.values()]),
        ("left entities", [words.count(part.left.num_rows) for part in parts.values()]),
        ("right entities", [words.count(part.right.num_rows) for part in parts.values()]),
    ]
    if any(part.has_scores for part in parts.values()):
        for name, of in _MOMENTS.items():
            values = (float(of(part.scores.astype(np.float64))) if part.has_scores else None for part in parts.values())
            rows.append((name, [words.figure(value) for value in values]))
    return list(parts), rows


@dataclasses.dataclass(frozen=True)
class Reason:
    """A broken rule: the number of rows, and the first of them with their places."""

    words: str
    rows: int
    examples: Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class SetAside:
    """The quarantined rows, most frequent reason first."""

    rows: int
    reasons: Sequence[Reason]
    more_reasons: int
    folder: str


def set_aside(run: Run) -> SetAside:
    """Reads the quarantine. That of a refused run is outside the artifacts."""
    node = run.nodes.get(node_ids.EXAMPLE_GEN)
    if node is None:
        raise Absent(run.why_not(node_ids.EXAMPLE_GEN))
    artifact = node.output("quarantine")
    folder = Path(artifact.uri) if artifact else run.root / "pipeline" / node_ids.EXAMPLE_GEN / "refused" / str(node.id)
    counts: Counter[str] = Counter()
    first: dict[str, list[tuple[str, str]]] = {}
    for batch in _batches(folder):
        reason_counts = batch.column("reason").value_counts()
        counts.update({entry["values"]: entry["counts"] for entry in reason_counts.to_pylist()})
        for reason in reason_counts.field("values").to_pylist():
            missing = _SHOWN_ROWS - len(first.setdefault(reason, []))
            if missing > 0:
                rows = batch.filter(pc.equal(batch.column("reason"), reason)).slice(0, missing)
                first[reason] += map(_row, rows.to_pylist())
    if not counts and artifact is None:
        raise Absent(run.why_not(node_ids.EXAMPLE_GEN))
    shown = [Reason(reason, rows, first[reason]) for reason, rows in counts.most_common(_SHOWN_REASONS)]
    return SetAside(counts.total(), shown, max(len(counts) - _SHOWN_REASONS, 0), str(folder))


def _batches(folder: Path) -> Iterator[pa.RecordBatch]:
    for path in sorted(folder.glob("*.parquet")):
        yield from pa.parquet.ParquetFile(path).iter_batches()


def _row(row: dict[str, Any]) -> tuple[str, str]:
    place = describe_position(os.path.basename(row["file"]), row["line"], row["row_group"], row["row"])
    return place, words.readable_id(row["raw"][:_SHOWN_BYTES])


@dataclasses.dataclass(frozen=True)
class Distributions:
    """Charts of the data with a sentence about each."""

    charts: Sequence[tuple[str, Markup, Markup, str]]  # title, chart, legend, description


def distributions(run: Run) -> Distributions:
    """Draws the distributions of scores and of entity counts."""
    splits = {name: split for name, split in run.splits.items() if split.rows}
    if not splits:
        raise Absent("There are no pairs to count.")
    scored = all(split.has_scores for split in splits.values())
    drawn = [score_chart({name: split.scores for name, split in splits.items()})] if scored else []
    return Distributions([*drawn, _popularity(next(iter(splits.values())))])


def score_chart(
    samples: dict[str, np.ndarray], unit: str = "score in the unit of the data"
) -> tuple[str, Markup, Markup, str]:
    """Draws the share of scores per bin, without the outermost thousandth at either end.

    Args:
      samples: sorted scores by name: `train` and one other.
      unit: the label of their axis.

    Returns:
      Title, chart, legend and description.
    """
    edges = _edges(list(samples.values()))
    styles = {name: "split-train" if name == "train" else "split-eval" for name in samples}
    series = []
    for name, scores in samples.items():
        heights = np.diff(np.searchsorted(scores, edges)) / len(scores)
        series.append(Series(name, list(zip(edges[:-1].tolist(), heights.tolist(), strict=True)), styles[name]))
    description = ". ".join(f"{name}: {_spread(scores)}" for name, scores in samples.items())
    chart = charts.histogram("Scores", description, edges.tolist(), series, Axis(unit), Axis("share of pairs"))
    key = charts.legend([(styles[name], name) for name in samples])
    return "Scores", chart, key, f"{description}. The chart omits the outermost thousandth at either end."


def _spread(ordered: np.ndarray) -> str:
    first, third = (float(ordered[part * len(ordered) // 4]) for part in (1, 3))
    mean = float(ordered.mean(dtype=np.float64))
    return f"mean {words.short(mean)}, middle half {words.short(first)} to {words.short(third)}"


def _edges(samples: Sequence[np.ndarray]) -> np.ndarray:
    """Returns bin edges for sorted samples: equal bins, or one bin per value if values are few, such as stars."""
    low = min(float(sample[len(sample) // 1000]) for sample in samples)
    high = max(float(sample[-1 - len(sample) // 1000]) for sample in samples)
    distinct = np.unique(np.concatenate([_distinct(sample) for sample in samples]))
    distinct = distinct[(distinct >= low) & (distinct <= high)].astype(np.float64)
    if len(distinct) > _BINS // 2:
        return np.linspace(low, high, _BINS + 1)
    half = float(np.diff(distinct).min()) / 2 if len(distinct) > 1 else 0.5
    return np.unique(np.concatenate([distinct - half, distinct + half]).round(9))


def _distinct(ordered: np.ndarray) -> np.ndarray:
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])]


def _popularity(train: Distribution) -> tuple[str, Markup, Markup, str]:
    """Draws the entity counts by rank on logarithmic axes (Zipf's plot)."""
    series, sentences = [], []
    for side in ("left", "right"):
        counts = train.entities(side)["count"].to_numpy()
        ranks = np.unique(np.geomspace(1, len(counts), _RANKS).round().astype(np.int64))
        series.append(Series(side, [(float(rank), float(counts[rank - 1])) for rank in ranks], f"side-{side}"))
        top = max(1, round(len(counts) / 100))
        share = counts[:top].sum() / counts.sum()
        sentences.append(
            f"{side}: the most frequent {words.count(top)} of {words.count(len(counts))} have {words.share(share)} "
            f"of the pairs, and the median entity has {words.count(float(np.median(counts)))}"
        )
    name = "Popularity of entities"
    chart = charts.lines(
        name,
        ". ".join(sentences),
        series,
        Axis("rank, most frequent first", log=True),
        Axis("training pairs", log=True),
    )
    return name, chart, charts.legend([("side-left", "left"), ("side-right", "right")]), ". ".join(sentences) + "."
