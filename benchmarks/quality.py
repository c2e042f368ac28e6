"""Model quality on public data sets, with published protocols and the files in benchmarks/pipelines.

    python -m benchmarks.quality [--data ml-100k ...] [--settings default] [--words build/word-pairs/serving/1]

Each model is trained with the settings of its pipeline file (`tuned`), and with those that the Trainer chooses for a
file without `model` and `train` (`default`). It is measured like the published figures. docs/quality.md has the sources
of these figures and the tuning of the settings. `--words` names a published model of the words example, to measure its
rank correlation with human judgement.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import research_data
from benchmarks.research_data import Positives, Ratings

if TYPE_CHECKING:
    import keras

_PIPELINES = Path(__file__).parent / "pipelines"


# Trains a model on the numbers of left and right entities, labels, and the numbers of entities of both sides.
Fit = Callable[[np.ndarray, np.ndarray, np.ndarray, tuple[int, int]], "keras.Model"]


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """A data set with its measurement, the required bounds, and published figures."""

    measure: Callable[[Fit], dict[str, float]]
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
    for name, settings in itertools.product(arguments.data, arguments.settings):
        if settings == "tuned" and not _file(name).exists():
            continue
        task, since = TASKS[name], time.monotonic()
        found = task.measure(tuned(name) if settings == "tuned" else default)
        seconds = round(time.monotonic() - since, 1)
        verdict = "reached" if task.met(found) else "NOT REACHED"
        results[f"{name} {settings}"] = {**found, "reached": task.met(found), "seconds": seconds}
        of = f"{name} {settings}"
        print(f"{of:22} {_words(found)}, {seconds} s | {task}: {verdict} | {task.published}", flush=True)
    if arguments.words:
        results["words"] = word_correlations(arguments.words)
        print(f"words      {_words(results['words'])} (Spearman)", flush=True)
    reached = sum(bool(result.get("reached", True)) for result in results.values())
    result = {"benchmark": "quality", "ratio": reached / max(len(results), 1), "ours": reached, "theirs": len(results)}
    print(json.dumps(result | {"unit": "bounds reached", "n": len(results), "runs": 1, "found": results}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", nargs="*", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--settings", nargs="*", default=["tuned", "default"], choices=["tuned", "default"])
    parser.add_argument("--words", help="a published model of the words example")
    return parser.parse_args()


def _file(name: str) -> Path:
    return _PIPELINES / f"{name}.yaml"


def tuned(name: str) -> Fit:
    """Returns a function that trains with the settings of the pipeline file `name`."""

    def fit(left: np.ndarray, right: np.ndarray, label: np.ndarray, sizes: tuple[int, int]) -> keras.Model:
        from pipeline.config import load_config
        from trainer.data.pairs import Pairs
        from trainer.model.table_sizes import TableSizes
        from trainer.settings import training_settings
        from trainer.training import fitting

        config = load_config(_file(name))
        _, model, train = training_settings({s: getattr(config, s).model_dump() for s in ("encode", "model", "train")})
        return fitting.fit(Pairs(left, right, label.astype(np.float32)), TableSizes(*sizes), model, train)[0]

    return fit


def default(
    left: np.ndarray, right: np.ndarray, label: np.ndarray, sizes: tuple[int, int], times: np.ndarray | None = None
) -> keras.Model:
    """Trains as for a file without `model` and `train`: searches settings, and trains with the best ones."""
    from pipeline.config import PipelineConfig
    from trainer.data.pairs import Pairs
    from trainer.model.table_sizes import TableSizes
    from trainer.search.choice import choose
    from trainer.settings import training_settings, with_values
    from trainer.training import fitting

    columns = {"left": "left", "right": "right"} | ({} if (label > 0).all() else {"score": "score"})
    columns |= {} if times is None else {"time": "time"}
    config = PipelineConfig.model_validate({"name": "default", "data": {"path": "pairs.csv", "columns": columns}})
    sections = {name: getattr(config, name).model_dump() for name in ("encode", "model", "train")}
    pairs, metric, of = Pairs(left, right, label.astype(np.float32)), config.choosing_metric, TableSizes(*sizes)
    with tempfile.TemporaryDirectory() as folder:
        since = time.monotonic()
        choice = choose(pairs, of, sections, metric, config.train.search, folder, times, config.hold_out)
        searched = time.monotonic()
        _, model, train = training_settings(with_values(sections, choice.values))
        network, _ = fitting.fit(pairs, of, model, train)
    ended = time.monotonic()
    print(f"{choice.describe()}. Search {searched - since:.1f} s, training {ended - searched:.1f} s", flush=True)
    return network


def fit_ratings(fit: Fit, ratings: Ratings, test: np.ndarray) -> tuple[keras.Model, float]:
    """Trains a model on the rows outside `test`. Returns it with the mean on which their labels are centered."""
    train = ~test
    center = float(ratings.score[train].mean())
    columns = (ratings.left[train], ratings.right[train], ratings.score[train] - center)
    return fit(*columns, ratings.sizes), center


def _errors(fit: Fit, folds_of: Callable[[], tuple[Ratings, list[np.ndarray]]]) -> dict[str, float]:
    """Returns RMSE, MAE and MSE in the unit of the scores, averaged over the folds."""
    ratings, folds = folds_of()
    found: dict[str, list[float]] = {"rmse": [], "mae": [], "mse": []}
    for test in folds:
        network, center = fit_ratings(fit, ratings, test)
        pairs = [ratings.left[test][:, None], ratings.right[test][:, None]]
        known = ratings.score[~test]
        # The published value is clipped to the labels of training.
        values = np.clip(network.predict_on_batch(pairs)[:, 0] + center, known.min(), known.max())
        errors = values - ratings.score[test]
        squared = float((errors**2).mean())
        for metric, value in (("rmse", squared**0.5), ("mae", float(np.abs(errors).mean())), ("mse", squared)):
            found[metric].append(value)
        print(f"fold {len(found['rmse'])}: rmse {squared**0.5:.4f}", flush=True)
    return {metric: round(float(np.mean(values)), 4) for metric, values in found.items()}


def fit_positives(fit: Fit, data: Positives) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns left vectors, right vectors and right biases. A ranking needs no left biases."""
    from trainer.export.sides import is_normalized
    from trainer.model.network import LEFT_VECTORS, RIGHT_BIAS, RIGHT_VECTORS

    network = fit(data.train[:, 0].copy(), data.train[:, 1].copy(), np.ones(len(data.train)), data.sizes)
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


def _leave_last_out(fit: Fit) -> dict[str, float]:
    data = research_data.ml_1m_leave_last_out()
    if fit is default:
        # The default run knows the times, and chooses settings on the last film of each user in the training pairs.
        fit = functools.partial(default, times=data.times)
    ranks = sampled_ranks(fit_positives(fit, data), data)
    gains = np.where(ranks < 10, 1 / np.log2(ranks + 2), 0.0)
    return {"hr@10": round(float((ranks < 10).mean()), 4), "ndcg@10": round(float(gains.mean()), 4)}


def _full_catalogue(fit: Fit, data: Positives, depths: Sequence[int]) -> dict[str, float]:
    """Returns recall and NDCG of a ranking of the whole catalog, without the known items of a user."""
    from trainer.ranking import ranking_metrics
    from trainer.ranking.lists import Lists
    from trainer.ranking.ranks import rank_catalogue

    left, right, bias = fit_positives(fit, data)
    users, items = data.sizes
    relevant = Lists.of_pairs(data.test[:, 0], data.test[:, 1], users)
    known = {"": data.train}
    if data.validation is not None:
        # The figures of iALS exclude all known items of a user. Those of LightGCN exclude only the training items.
        known = {"": np.concatenate([data.train, data.validation]), " (validation not left out)": data.train}
    measured = {}
    for suffix, pairs in known.items():
        seen = Lists.of_pairs(pairs[:, 0], pairs[:, 1], users)
        found = rank_catalogue(left[:users], right[:items], relevant, seen, depth=max(depths), bias=bias)
        for metric in (f"{name}@{depth}" for depth in depths for name in ("recall", "ndcg")):
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
        lambda fit: _errors(fit, research_data.ml_100k),
        {"rmse": 0.914},
        True,
        "Surprise SVD 0.934, SVD++ 0.919, fastai dot + bias 0.943",
    ),
    "ml-1m": Benchmark(
        lambda fit: _errors(fit, research_data.ml_1m), {"rmse": 0.850}, True, "Surprise SVD 0.873, SVD++ 0.862"
    ),
    "ml-1m-ncf": Benchmark(
        _leave_last_out, {"hr@10": 0.731, "ndcg@10": 0.452}, False, "NeuMF 0.673 / 0.401, iALS 0.731 / 0.452"
    ),
    "lastfm": Benchmark(
        lambda fit: _full_catalogue(fit, research_data.lastfm(), (10, 40)),
        {"recall@10": 0.192, "ndcg@10": 0.229},
        False,
        "LightGCN .174 / .200, BPR-MF .136 / .153",
    ),
    "gowalla": Benchmark(
        lambda fit: _full_catalogue(fit, research_data.gowalla(), (20,)),
        {"recall@20": 0.150, "ndcg@20": 0.128},
        False,
        "LightGCN 0.183 / 0.155, UltraGCN 0.186 / 0.158",
    ),
    "amazon-beauty": Benchmark(
        lambda fit: _full_catalogue(fit, research_data.amazon_beauty(), (20,)), {"recall@20": 0.0}, False, "none known"
    ),
    "kiba": Benchmark(lambda fit: _errors(fit, research_data.kiba), {"mse": 0.184}, True, "predicting the mean 0.680"),
}

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
