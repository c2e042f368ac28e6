"""Model quality on public data sets, with published protocols and the files in benchmarks/pipelines.

    python -m benchmarks.quality [--data ml-100k ...] [--words build/word-pairs/serving/1]

Each model is trained with the settings of its pipeline file, and measured like the published figures. docs/quality.md
has the sources of these figures and the tuning of the settings. `--words` names a published model of the words example,
to measure its rank correlation with human judgement.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import research_data
from benchmarks.research_data import Positives, Ratings

if TYPE_CHECKING:
    import keras

_PIPELINES = Path(__file__).parent / "pipelines"


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """A data set with its measurement, the required bounds, and published figures."""

    measure: Callable[[str], dict[str, float]]
    bounds: dict[str, float]
    lower_is_better: bool
    published: str

    def met(self, figures: dict[str, float]) -> bool:
        """Whether `figures` meets every bound."""
        sign = -1 if self.lower_is_better else 1
        return all(sign * figures[name] >= sign * bound for name, bound in self.bounds.items())

    def __str__(self) -> str:
        bounds = (f"{name} {'<=' if self.lower_is_better else '>='} {bound}" for name, bound in self.bounds.items())
        return ", ".join(bounds)


def main() -> None:
    """Measures. Prints a line for each data set."""
    arguments = _arguments()
    results: dict[str, Any] = {}
    for name in arguments.data:
        task, since = TASKS[name], time.monotonic()
        found = task.measure(name)
        verdict = "reached" if task.met(found) else "NOT REACHED"
        results[name] = {**found, "reached": task.met(found), "seconds": round(time.monotonic() - since, 1)}
        print(f"{name:10} {_words(found)} | {task}: {verdict} | published: {task.published}", flush=True)
    if arguments.words:
        results["words"] = word_correlations(arguments.words)
        print(f"words      {_words(results['words'])} (Spearman)", flush=True)
    reached = sum(bool(result.get("reached", True)) for result in results.values())
    result = {"benchmark": "quality", "ratio": reached / max(len(results), 1), "ours": reached, "theirs": len(results)}
    print(json.dumps(result | {"unit": "bounds reached", "n": len(results), "runs": 1, "found": results}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", nargs="*", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--words", help="a published model of the words example")
    return parser.parse_args()


def _trained(name: str, left: np.ndarray, right: np.ndarray, label: np.ndarray, sizes: tuple[int, int]) -> keras.Model:
    """Trains a model on numbered pairs with the pipeline file `name`."""
    from pipeline.config import load_config
    from trainer.data.pairs import Pairs
    from trainer.model.table_sizes import TableSizes
    from trainer.settings import training_settings
    from trainer.training import fitting

    config = load_config(_PIPELINES / f"{name}.yaml")
    _, model, train = training_settings({s: getattr(config, s).model_dump() for s in ("encode", "model", "train")})
    return fitting.fit(Pairs(left, right, label.astype(np.float32)), TableSizes(*sizes), model, train)[0]


def fit_ratings(name: str, ratings: Ratings, test: np.ndarray) -> tuple[keras.Model, float]:
    """Trains a model on the rows outside `test`. Returns it with the mean on which their labels are centered."""
    train = ~test
    center = float(ratings.score[train].mean())
    columns = (ratings.left[train], ratings.right[train], ratings.score[train] - center)
    return _trained(name, *columns, ratings.sizes), center


def _errors(name: str, folds_of: Callable[[], tuple[Ratings, list[np.ndarray]]]) -> dict[str, float]:
    """Returns RMSE, MAE and MSE in the unit of the scores, averaged over the folds."""
    ratings, folds = folds_of()
    found: dict[str, list[float]] = {"rmse": [], "mae": [], "mse": []}
    for test in folds:
        network, center = fit_ratings(name, ratings, test)
        pairs = [ratings.left[test][:, None], ratings.right[test][:, None]]
        errors = network.predict_on_batch(pairs)[:, 0] + center - ratings.score[test]
        squared = float((errors**2).mean())
        for metric, value in (("rmse", squared**0.5), ("mae", float(np.abs(errors).mean())), ("mse", squared)):
            found[metric].append(value)
        print(f"{name:10} fold {len(found['rmse'])}: rmse {squared**0.5:.4f}", flush=True)
    return {metric: round(float(np.mean(values)), 4) for metric, values in found.items()}


def fit_positives(name: str, data: Positives) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns left vectors, right vectors and right biases. A ranking needs no left biases."""
    from trainer.export.sides import is_normalized
    from trainer.model.network import LEFT_VECTORS, RIGHT_BIAS, RIGHT_VECTORS

    network = _trained(name, data.train[:, 0], data.train[:, 1], np.ones(len(data.train)), data.sizes)
    layers = {layer.name: layer for layer in network.layers}
    left, right = (layers[side].get_weights()[0] for side in (LEFT_VECTORS, RIGHT_VECTORS))
    bias = layers[RIGHT_BIAS].get_weights()[0][:, 0] if RIGHT_BIAS in layers else np.zeros(len(right), np.float32)
    if is_normalized(network):
        left, right = (side / np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-6) for side in (left, right))
    return left, right, bias


def sampled_ranks(tables: tuple[np.ndarray, np.ndarray, np.ndarray], data: Positives) -> np.ndarray:
    """Returns the rank, from 0, of each test item among its negatives, int64 `[tests]`. Ignores the item among them."""
    left, right, bias = tables
    users, items = data.test.T
    assert data.negatives is not None
    own = np.einsum("nd,nd->n", left[users], right[items]) + bias[items]
    others = np.einsum("nd,nkd->nk", left[users], right[data.negatives]) + bias[data.negatives]
    return ((others > own[:, None]) & (data.negatives != items[:, None])).sum(axis=1)


def _leave_last_out(name: str) -> dict[str, float]:
    data = research_data.ml_1m_leave_last_out()
    ranks = sampled_ranks(fit_positives(name, data), data)
    gains = np.where(ranks < 10, 1 / np.log2(ranks + 2), 0.0)
    return {"hr@10": round(float((ranks < 10).mean()), 4), "ndcg@10": round(float(gains.mean()), 4)}


def _full_catalogue(name: str) -> dict[str, float]:
    from trainer.ranking import ranking_metrics
    from trainer.ranking.lists import Lists
    from trainer.ranking.ranks import rank_catalogue

    data = research_data.lastfm()
    left, right, bias = fit_positives(name, data)
    users, items = data.sizes
    relevant = Lists.of_pairs(data.test[:, 0], data.test[:, 1], users)
    assert data.validation is not None
    # The figures of iALS exclude all known items of a user. Those of LightGCN exclude only the training items.
    known = {"": np.concatenate([data.train, data.validation]), " (validation not left out)": data.train}
    measured = {}
    for suffix, pairs in known.items():
        seen = Lists.of_pairs(pairs[:, 0], pairs[:, 1], users)
        found = rank_catalogue(left[:users], right[:items], relevant, seen, depth=40, bias=bias)
        for metric in ("recall@10", "ndcg@10", "recall@40", "ndcg@40"):
            measured[metric + suffix] = round(float(ranking_metrics.per_query(found, metric).mean()), 4)
    return measured


def word_correlations(model: str) -> dict[str, float]:
    """Returns the Spearman correlation of cosines with human judgement, by set, over the known words."""
    from scipy.stats import spearmanr

    from trainer.training.base_model import read_model

    words = read_model(model).left
    row = {word: number for number, word in enumerate(words.ids.to_pylist())}
    vectors = words.vectors / np.maximum(np.linalg.norm(words.vectors, axis=1, keepdims=True), 1e-12)
    found = {}
    for name, judged in research_data.word_similarities():
        known = [(row[a.encode()], row[b.encode()], s) for a, b, s in judged if a.encode() in row and b.encode() in row]
        if len(known) >= 10:
            one, other, similarity = zip(*known, strict=True)
            cosines = np.einsum("nd,nd->n", vectors[list(one)], vectors[list(other)])
            found[f"{name} ({len(known)} of {len(judged)})"] = round(float(spearmanr(cosines, similarity).statistic), 3)
    return found


def _words(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in found.items())


TASKS = {
    "ml-100k": Benchmark(
        lambda name: _errors(name, research_data.ml_100k),
        {"rmse": 0.914},
        True,
        "Surprise SVD 0.934, SVD++ 0.919, fastai dot + bias 0.943",
    ),
    "ml-1m": Benchmark(
        lambda name: _errors(name, research_data.ml_1m), {"rmse": 0.850}, True, "Surprise SVD 0.873, SVD++ 0.862"
    ),
    "ml-1m-ncf": Benchmark(
        _leave_last_out, {"hr@10": 0.731, "ndcg@10": 0.452}, False, "NeuMF 0.673 / 0.401, iALS 0.731 / 0.452"
    ),
    "lastfm": Benchmark(
        _full_catalogue, {"recall@10": 0.192, "ndcg@10": 0.229}, False, "LightGCN .174 / .200, BPR-MF .136 / .153"
    ),
    "kiba": Benchmark(
        lambda name: _errors(name, research_data.kiba), {"mse": 0.184}, True, "predicting the mean 0.680"
    ),
}

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
