"""Computes paired differences of two runs from their models and their eval split. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from components import coded_pairs
from components.batch_lists.seen import rows_of
from components.coded_pairs import CodedPairs
from components.evaluator import measure as scores
from components.evaluator.figures import Figure
from components.evaluator.measure import Measured
from components.evaluator.metrics import Labels
from components.evaluator.names import COLD, SAMPLED, SCORE_METRICS, is_approximate, is_ranking
from components.evaluator.predict import predict
from components.ranking_evaluator import measure as rankings
from components.ranking_evaluator.task import Task, of_tables
from errors import KindredError
from pipeline.commands.paired import Paired
from pipeline.records import node_ids
from pipeline.records.executions import Executions
from pipeline.records.run_folder import RunFolder
from pipeline.report.sources import Absent, Run

_FIRST = "first"


def of_runs(first: RunFolder, second: RunFolder, metrics: Sequence[str]) -> Paired:
    """Returns the intervals of the differences of `metrics`, if both runs evaluated the same rows."""
    try:
        runs = [_read(folder) for folder in (first, second)]
        before, after = (coded_pairs.read(run.uri(node_ids.EXAMPLE_GEN, "examples")) for run in runs)
        if not _same_rows(before, after):
            return Paired({}, "the runs evaluated different rows")
        figures = list(_figures(runs[0], runs[1], after, metrics))
    except (Absent, KindredError, OSError) as error:
        return Paired({}, str(error).rstrip("."))
    found = {figure.metric: figure.others[_FIRST] for figure in figures}
    known = {m: (f.low, f.high) for m, f in found.items() if f.low is not None and f.high is not None}
    return Paired({metric: known[metric] for metric in metrics if metric in known})


def _read(folder: RunFolder) -> Run:
    return Run.of(folder, Executions.in_file(folder.root.metadata))


def _same_rows(first: CodedPairs, second: CodedPairs) -> bool:
    """Returns whether the eval splits have the same rows, in any order."""
    if len(first.eval) != len(second.eval):
        return False
    left, right = rows_of(second.left_ids, first.left_ids), rows_of(second.right_ids, first.right_ids)
    mine = _sorted([first.eval.left, first.eval.right], first)
    others = _sorted([left[second.eval.left], right[second.eval.right]], second)
    return len(mine) == len(others) and all(map(np.array_equal, mine, others))


def _sorted(codes: list[np.ndarray], pairs: CodedPairs) -> list[np.ndarray]:
    """Returns the columns of the eval split in the order of their values."""
    optional = (pairs.eval.score, pairs.eval.weight)
    columns = [*codes, *(column for column in optional if column is not None)]
    order = np.lexsort(columns)
    return [column[order] for column in columns]


def _figures(first: Run, second: Run, pairs: CodedPairs, metrics: Sequence[str]) -> Iterator[Figure]:
    old, new = first.tables, second.tables
    of_scores = [metric for metric in metrics if metric in SCORE_METRICS]
    if of_scores and pairs.eval.score is not None:
        label = np.asarray(pairs.eval.score, np.float64)
        weight = None if pairs.eval.weight is None else pairs.eval.weight.astype(np.float64)
        answers = [predict(tables, pairs).answers for tables in (new, old)]
        labels = Labels(label, label > new.center, weight)
        rows = Measured(labels, answers[0], {_FIRST: answers[1]}, pairs.observed_entities(new.shared))
        wanted = {(metric, ""): frozenset({_FIRST}) for metric in of_scores}
        yield from (figure for figure in scores.measure(rows, {}, wanted) if figure.metric in of_scores)
    ranked = [metric for metric in metrics if _is_ranked(metric)]
    if ranked:
        task = Task.of(pairs, new.center, None, new.shared)
        yield from rankings.measure(
            ranked, of_tables(new, pairs, task), {_FIRST: of_tables(old, pairs, task)}, task, {}
        )


def _is_ranked(metric: str) -> bool:
    return is_ranking(metric) and not is_approximate(metric) and not metric.startswith((COLD, SAMPLED))
