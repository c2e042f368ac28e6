"""Trains other libraries for `benchmarks.time_to_quality`, on the interpreter of their environment.

    PEERS/bin/python benchmarks/peers.py surprise|implicit|bpr DATA.npz EPOCHS

Prints the seconds of `fit`, without preparing its input, as JSON. Writes the scores of the test pairs to a file.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np


def surprise_svd(data: dict[str, np.ndarray], epochs: int) -> tuple[float, np.ndarray]:
    """Trains SVD of Surprise with its defaults. Returns seconds, and estimates `[m]` of the test pairs."""
    from surprise import SVD  # type: ignore[import-not-found]
    from surprise.trainset import Trainset  # type: ignore[import-not-found]

    ratings: dict[int, list[tuple[int, float]]] = {}
    by_item: dict[int, list[tuple[int, float]]] = {}
    for user, item, score in zip(data["left"].tolist(), data["right"].tolist(), data["label"].tolist(), strict=True):
        ratings.setdefault(user, []).append((item, score))
        by_item.setdefault(item, []).append((user, score))
    users, items = {i: i for i in range(int(data["sizes"][0]))}, {i: i for i in range(int(data["sizes"][1]))}
    train = Trainset(ratings, by_item, len(users), len(items), len(data["left"]), (1, 5), users, items)
    model = SVD(n_epochs=epochs, random_state=1)
    since = time.perf_counter()
    model.fit(train)
    seconds = time.perf_counter() - since
    left, right = data["test_left"], data["test_right"]
    dots = np.einsum("nd,nd->n", model.pu[left], model.qi[right])
    return seconds, np.clip(train.global_mean + model.bu[left] + model.bi[right] + dots, 1, 5)


def implicit_als(data: dict[str, np.ndarray], epochs: int) -> tuple[float, np.ndarray]:
    """Trains ALS of implicit. Returns seconds, and scores `[m, c]` of the candidates of each test user.

    Without candidates, returns the vectors of left and then of right entities `[n, d]` instead.
    """
    import scipy.sparse
    from implicit.cpu.als import AlternatingLeastSquares  # type: ignore[import-not-found]
    from threadpoolctl import threadpool_limits

    shape = tuple(data["sizes"].tolist())
    pairs = scipy.sparse.csr_matrix((np.ones(len(data["left"]), np.float32), (data["left"], data["right"])), shape)
    factors, regularization, alpha = int(data["factors"]), float(data["regularization"]), float(data["alpha"])
    model = AlternatingLeastSquares(
        factors=factors, regularization=regularization, alpha=alpha, iterations=epochs, random_state=1
    )
    with threadpool_limits(1):  # implicit recommends this, because it has its own threads
        since = time.perf_counter()
        model.fit(pairs, show_progress=False)
        seconds = time.perf_counter() - since
    if "candidates" not in data:
        return seconds, np.concatenate([model.user_factors, model.item_factors])
    rows = model.item_factors[data["candidates"]]
    return seconds, np.einsum("nd,ncd->nc", model.user_factors[data["test_left"]], rows)


def implicit_bpr(data: dict[str, np.ndarray], epochs: int) -> tuple[float, np.ndarray]:
    """Trains BPR of implicit. Returns seconds, and the vectors of left and then of right entities `[n, d]`."""
    import scipy.sparse
    from implicit.cpu.bpr import BayesianPersonalizedRanking  # type: ignore[import-not-found]

    shape = tuple(data["sizes"].tolist())
    pairs = scipy.sparse.csr_matrix((np.ones(len(data["left"]), np.float32), (data["left"], data["right"])), shape)
    model = BayesianPersonalizedRanking(
        factors=int(data["factors"]) - 1,
        learning_rate=float(data.get("learning_rate", 0.05)),
        iterations=epochs,
        random_state=1,
    )
    since = time.perf_counter()
    model.fit(pairs, show_progress=False)
    return time.perf_counter() - since, np.concatenate([model.user_factors, model.item_factors])


def main() -> None:
    """Trains a model and writes the scores to `DATA.scores.npy`."""
    kind, file, epochs = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    with np.load(file) as stored:
        data = dict(stored)
    seconds, scores = {"surprise": surprise_svd, "implicit": implicit_als, "bpr": implicit_bpr}[kind](data, epochs)
    np.save(file.with_suffix(".scores.npy"), scores)
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
