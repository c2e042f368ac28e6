"""Reads tables and pairs, ranks, and writes the figures."""

from __future__ import annotations

from typing import Any

import tensorflow_transform as tft
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components import coded_pairs
from components.coded_pairs import CodedPairs
from components.evaluator import slices
from components.evaluator.figures import LAST_BLESSED, POPULARITY
from components.ranking_evaluator.figures_file import write_figures
from components.ranking_evaluator.measure import measure
from components.ranking_evaluator.settings import RankingSettings
from components.ranking_evaluator.task import Ranker, Task, of_popularity, of_tables
from trainer.export import unit_of
from trainer.published import read_tables


class Executor(base_executor.BaseExecutor):
    """Executor of RankingEvaluator."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes `ranking.json`: the metrics of the candidate, of popularity, and of the last blessed model, if any."""
        settings = RankingSettings.from_json(exec_properties["settings"])
        pairs = coded_pairs.read(artifact_utils.get_single_uri(input_dict["examples"]))
        center = 0.0
        if pairs.eval.score is not None:
            transform = tft.TFTransformOutput(artifact_utils.get_single_uri(input_dict["transform_graph"]))
            center = unit_of(transform).center
        task = Task.of(pairs, center, settings.candidates)
        candidate = _ranker(input_dict["model"], pairs, task)
        others = {POPULARITY: of_popularity(pairs, task)}
        if input_dict.get("baseline_model"):
            others[LAST_BLESSED] = _ranker(input_dict["baseline_model"], pairs, task)
        counts = pairs.counts("left")
        cuts = slices.Cuts.of(counts)
        masks = slices.popularity(slices.LEFT, counts[task.left], cuts)
        masks = {name: mask for name, mask in masks.items() if name in settings.slices}
        figures = measure(settings.metrics, candidate, others, task, masks)
        write_figures(figures, _facts(task, candidate, cuts), artifact_utils.get_single_uri(output_dict["evaluation"]))


def _ranker(models: list[types.Artifact], pairs: CodedPairs, task: Task) -> Ranker:
    directory = path_utils.serving_model_path(artifact_utils.get_single_uri(models))
    return of_tables(read_tables(directory), pairs, task)


def _facts(task: Task, candidate: Ranker, cuts: slices.Cuts) -> dict[str, Any]:
    """What the figures are about."""
    return {
        "left_entities": len(task.left),
        "relevant_pairs": len(task.relevant.rows),
        "relevant_unknown": int((candidate.row[task.relevant.rows] < 0).sum()),
        "catalogue": len(candidate.catalogue),
        "cuts": {"head": cuts.head, "middle": cuts.middle},
    }
