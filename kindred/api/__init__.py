"""The Python API: the same work as the commands, with results as Python objects (docs/api.md).

    from kindred.api import load, run, runs

Every error that a user can fix is a class of `errors`.
"""

from __future__ import annotations

from kindred.entry import hidden_package

if _problem := hidden_package():
    raise ImportError(_problem)

from compat.process import prepare

prepare()

from kindred.api.model import Embeddings, Model, Neighbor, Ranking, load  # noqa: E402
from kindred.api.runs import Run, run, runs  # noqa: E402
from serving.answers import PairScore  # noqa: E402

__all__ = ["Embeddings", "Model", "Neighbor", "PairScore", "Ranking", "Run", "load", "run", "runs"]
