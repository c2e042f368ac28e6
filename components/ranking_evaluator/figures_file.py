"""Reads and writes the figures of RankingEvaluator."""

from __future__ import annotations

import json
import os
from typing import Any

import tensorflow as tf

from components.evaluator.figures import Figure, dump, from_tree, to_tree

RANKING_FILE = "ranking.json"


def write_figures(figures: list[Figure], facts: dict[str, Any], evaluation: str) -> None:
    """Writes `ranking.json` into the directory `evaluation`."""
    with tf.io.gfile.GFile(os.path.join(evaluation, RANKING_FILE), "w") as out:
        out.write(dump({"figures": to_tree(figures), **facts}))


def read_figures(evaluation: str) -> tuple[list[Figure], dict[str, Any]]:
    """Reads figures and facts from `ranking.json`."""
    with tf.io.gfile.GFile(os.path.join(evaluation, RANKING_FILE)) as source:
        tree = json.loads(source.read())
    return from_tree(tree.pop("figures")), tree
