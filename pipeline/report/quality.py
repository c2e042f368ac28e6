"""The quality of the model: metrics, comparisons, slices and blessing rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup

from components.evaluator.figures import BIASES, LAST_BLESSED, MEAN, POPULARITY, Figure
from components.evaluator.names import ERRORS, is_ranking
from components.evaluator.rules import RuleResult
from pipeline.report import charts, words
from pipeline.report.charts import Axis, Dot
from pipeline.report.sources import Absent, Run

OTHERS = {
    MEAN: "constant mean",
    BIASES: "biases alone",
    POPULARITY: "popularity",
    LAST_BLESSED: "last blessed",
}
MEANINGS = {
    "rmse": "root mean squared error in the unit of the data",
    "mae": "mean absolute error in the unit of the data",
    "auc": "probability that a pair above the center scores higher than one below",
    "sign_accuracy": "share of scores with the correct sign",
    "spearman": "rank correlation of scores and labels",
    "calibration": "mean distance of mean prediction and mean label in ten groups",
    "recall": "share of held-out partners among the first K",
    "ndcg": "the same with more weight for higher ranks",
    "hit_rate": "share of entities with a held-out partner among the first K",
    "mrr": "reciprocal rank of the first held-out partner",
    "map": "precision, averaged over the ranks of held-out partners",
    "coverage": "share of the catalog in any list of the first K",
    "approximate_recall": "share of the exact first K that the approximate ranking finds",
}
SLICES = {
    "left_head": "left: head", "left_middle": "left: middle", "left_tail": "left: tail",
    "right_head": "right: head", "right_middle": "right: middle", "right_tail": "right: tail",
    "known": "both ids known", "unknown": "an id unknown", "positive": "label positive", "negative": "label negative",
}  # fmt: skip
# Slices with fewer rows are too noisy to show.
_FEW = 30


@dataclasses.dataclass(frozen=True)
class Row:
    """A metric or a slice: value, interval, and the values of other models in column order."""

    name: str
    meaning: str
    count: str
    value: str
    interval: str
    others: Sequence[str]
    difference: str


@dataclasses.dataclass(frozen=True)
class MetricTables:
    """Metrics of one kind on all rows and by slice. `worst` is a sentence about the worst slice."""

    others: Sequence[str]
    rows: Sequence[Row]
    compared: str | None
    slice_metrics: Sequence[str]
    slice_rows: Sequence[tuple[str, str, Sequence[str]]]
    chart: Markup | None
    legend: Markup | None
    chart_title: str
    worst: str | None
    facts: Sequence[str]


def scores(run: Run) -> MetricTables:
    """Returns the score metrics."""
    figures = [figure for figure in run.verdict.figures if not is_ranking(figure.metric)]
    if not figures:
        raise Absent("The pairs have no score, so there are no score metrics. See the ranking metrics.")
    return _metrics(figures, run, is_ranking_metric=False)


def rankings(run: Run) -> MetricTables:
    """Returns the ranking metrics."""
    figures = [figure for figure in run.verdict.figures if is_ranking(figure.metric)]
    if not figures:
        raise Absent("The pipeline file requests no ranking metric. Add one to evaluate.metrics, such as recall@10.")
    return _metrics(figures, run, is_ranking_metric=True)


def _metrics(figures: Sequence[Figure], run: Run, is_ranking_metric: bool) -> MetricTables:
    overall = [figure for figure in figures if not figure.slice]
    others = [name for name in OTHERS if any(name in figure.others for figure in overall)]
    compared = LAST_BLESSED if LAST_BLESSED in others else next(iter(others), None)
    deciding = _deciding(run, overall)
    names = list(dict.fromkeys(figure.slice for figure in figures if figure.slice))
    metrics = [figure.metric for figure in overall if any(f.metric == figure.metric and f.slice for f in figures)]
    of = {(figure.metric, figure.slice): figure for figure in figures}
    slices = [
        (SLICES.get(name, name), words.count(of[metrics[0], name].count), [_value(of[m, name]) for m in metrics])
        for name in names
    ]
    chart, worst = _slice_chart([of[deciding, ""], *(of[deciding, n] for n in names if (deciding, n) in of)], others)
    return MetricTables(
        others=[OTHERS[name] for name in others],
        rows=[_row(figure, others, compared) for figure in overall],
        compared=OTHERS[compared] if compared else None,
        slice_metrics=metrics,
        slice_rows=slices,
        chart=chart if names else None,
        legend=charts.legend([("candidate", "this model"), *((name, OTHERS[name]) for name in others)]),
        chart_title=f"{deciding} by slice",
        worst=worst if names else None,
        facts=list(_facts(run, is_ranking_metric)),
    )


def _deciding(run: Run, overall: Sequence[Figure]) -> str:
    """Returns the metric of the first failed rule, or of the first rule, if `figures` include it."""
    known = {figure.metric for figure in overall}
    rules = sorted(run.verdict.rules, key=lambda rule: rule.ok)
    judged = (rule.rule.split()[0] for rule in rules)
    return next((metric for metric in judged if metric in known), overall[0].metric)


def _row(figure: Figure, others: Sequence[str], compared: str | None) -> Row:
    other = figure.others.get(compared) if compared else None
    return Row(
        name=figure.metric,
        meaning=MEANINGS.get(figure.metric.removeprefix("sampled_").split("@")[0], ""),
        count=words.count(figure.count),
        value=words.figure(figure.value),
        interval=_interval(figure.low, figure.high),
        others=[words.figure(figure.others[name].value) if name in figure.others else "–" for name in others],
        difference=_difference(figure.metric, other.low, other.high) if other else "",
    )


def _difference(metric: str, low: float | None, high: float | None) -> str:
    """States whether the interval of the difference shows that one model is better."""
    if low is None or high is None:
        return ""
    interval = f"{words.signed(low)} to {words.signed(high)}"
    if low <= 0 <= high:
        return f"{interval}: no clear difference"
    better = (high < 0) == (metric in ERRORS)
    return f"{interval}: {'better' if better else 'worse'}"


def _value(figure: Figure) -> str:
    return words.figure(figure.value) if figure.count else "no rows"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{words.figure(low)} – {words.figure(high)}"


def _slice_chart(figures: Sequence[Figure], others: Sequence[str]) -> tuple[Markup | None, str | None]:
    """Draws the figures of a metric: all rows first, then slices."""
    rows, valued = [], []
    for figure in figures:
        if figure.value is None:
            continue
        dots = [Dot(figure.value, "candidate", figure.low, figure.high)]
        dots += [
            Dot(value, name)
            for name in others
            if name in figure.others and (value := figure.others[name].value) is not None
        ]
        few = figure.count < _FEW
        rows.append((f"{_slice(figure)}{f', {figure.count} rows' if few else ''}", dots))
        if figure.slice and not few:
            valued.append(figure)
    metric = figures[0].metric
    if not valued:
        return None, None
    pick: Callable[..., Figure] = max if metric in ERRORS else min
    worst = pick(valued, key=lambda figure: figure.value or 0.0)
    summary = f"Weakest by {metric}: {_slice(worst)}, {words.figure(worst.value)} on {worst.count:,}."
    values = ", ".join(f"{name} {words.short(dots[0].value)}" for name, dots in rows)
    return charts.dots(f"{metric} by slice", values, rows, Axis(metric)), summary


def _slice(figure: Figure) -> str:
    return SLICES.get(figure.slice, figure.slice) or "all"


def _facts(run: Run, is_ranking_metric: bool) -> Sequence[str]:
    """Returns sentences about the measured entities and pairs."""
    facts = run.verdict.facts
    if is_ranking_metric:
        ranked: dict[str, Any] = facts.get("ranking", {})
        entities, pairs, all_ = (ranked.get(name) for name in ("left_entities", "relevant_pairs", "catalogue"))
        return [
            f"{words.count(entities)} left entities with {words.count(pairs)} held-out partners, ranked among "
            f"{words.count(all_)} candidates without training pairs."
        ]
    cuts = facts.get("cuts", {})
    return [
        f"{side} head: at least {cut['head']:,} training pairs. Middle: at least {cut['middle']:,}. Tail: fewer."
        for side, cut in cuts.items()
    ]


@dataclasses.dataclass(frozen=True)
class Blessing:
    """Every rule of the blessing."""

    blessed: bool
    defaults: bool
    rules: Sequence[tuple[RuleResult, Markup | None]]
    canary: Sequence[str]


def blessing(run: Run) -> Blessing:
    """Returns the table of rules."""
    verdict = run.verdict
    return Blessing(
        verdict.blessed, bool(verdict.facts.get("default_rules")), [(rule, _strip(rule)) for rule in verdict.rules], []
    )


def _strip(rule: RuleResult) -> Markup | None:
    """Draws the value with its interval and the bound."""
    if rule.value is None:
        return None
    label = f"{rule.texts.value} against a bound of {rule.texts.bound}"
    return charts.interval(label, rule.value, *rule.interval, rule.bound)
