"""Reads tables and pairs, ranks the candidates, and writes the figures."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from tfx import types
from tfx.utils import path_utils

from components import coded_pairs
from components.evaluator import slices
from components.evaluator.evaluation import WORST_FILE
from components.evaluator.figures import LAST_BLESSED, POPULARITY
from components.evaluator.names import COLD, is_approximate
from components.execution import ExecutionArguments, ExecutorBase
from components.ranking_evaluator.approximate import measure_approximate
from components.ranking_evaluator.cold import measure_cold
from components.ranking_evaluator.figures_file import write_figures
from components.ranking_evaluator.measure import measure
from components.ranking_evaluator.settings import RankingSettings
from components.ranking_evaluator.task import Ranker, Task, of_popularity, of_tables
from components.ranking_evaluator.worst import lowest
from trainer.export.tables import Tables, read_tables

_WORST = 100


class Executor(ExecutorBase):
    """Executor of RankingEvaluator. See there for inputs and outputs."""

    def execute(self, execution: ExecutionArguments) -> None:
        """Writes `ranking.json`: the metrics of the candidate, of popularity, and of any last blessed model."""
        settings = execution.settings(RankingSettings)
        pairs = coded_pairs.read(execution.input("examples").uri)
        tables = _tables(execution.input("model"))
        task = Task.of(pairs, tables.center, settings.candidates, tables.shared)
        candidate = of_tables(tables, pairs, task)
        others = {POPULARITY: of_popularity(pairs, task)}
        if last := execution.optional_input("baseline_model"):
            others[LAST_BLESSED] = of_tables(_tables(last), pairs, task)
        counts = pairs.weights("left")
        cuts = slices.Cuts.of(counts)
        masks = slices.popularity(slices.LEFT, counts[task.left], cuts)
        masks = {name: mask for name, mask in masks.items() if name in settings.slices}
        of_cold = [metric.removeprefix(COLD) for metric in settings.metrics if metric.startswith(COLD)]
        approximate = [metric for metric in settings.metrics if is_approximate(metric)]
        of_all = [metric for metric in settings.metrics if not metric.startswith(COLD) and metric not in approximate]
        figures = measure(of_all, candidate, others, task, masks) if of_all else []
        if of_cold:
            figures += measure_cold(of_cold, candidate, others, task, pairs)
        model = path_utils.serving_model_path(execution.input("model").uri)
        figures += measure_approximate(approximate, model, pairs.left_ids.take(pa.array(task.left)))
        evaluation = execution.output("evaluation").uri
        write_figures(figures, _facts(task, candidate, cuts), evaluation)
        if pairs.eval.score is None:
            # For pairs with a score, the Evaluator writes the worst pairs.
            shift = tables.left.biases_of(pairs.left_ids.take(pa.array(task.left))) + np.float32(tables.offset)
            pa.parquet.write_table(lowest(candidate, shift, task, pairs, _WORST), os.path.join(evaluation, WORST_FILE))


def _tables(model: types.Artifact) -> Tables:
    return read_tables(path_utils.serving_model_path(model.uri))


def _facts(task: Task, candidate: Ranker, cuts: slices.Cuts) -> dict[str, Any]:
    """Returns the facts about the measured entities and pairs."""
    return {
        "left_entities": len(task.left),
        "relevant_pairs": len(task.relevant.rows),
        "relevant_unknown": int((candidate.row[task.relevant.rows] < 0).sum()),
        "catalogue": len(candidate.catalogue),
        "cuts": {"head": cuts.head, "middle": cuts.middle},
    }
