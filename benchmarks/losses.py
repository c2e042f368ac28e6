"""Time and memory of an epoch of losses with shared candidates, compared with its bare matrix products.

    python -m benchmarks.losses [--rows 167000] [--runs 3]

The products of an epoch are three for each batch: the scores of its pairs with all candidates, and with scores the
gradients of both sides. TensorFlow computes them from arrays in memory, with nothing else. An epoch of ours also makes
batches, reads and updates rows, and computes losses. Right entities are drawn by a power law. Each run is a separate
process that alternates epochs and products, and reports the fastest of each after the first epoch, which traces. `peak`
is the peak memory above that before building the model, without the products. `square` is what one array of all scores
of a batch would take.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import statistics
import time
from typing import Any, Literal

import numpy as np

from benchmarks.harness import measured_run
from benchmarks.train import peak_memory, resident_memory

_LEFT, _RIGHT, _DIMENSION = 5_551, 16_937, 64
_EPOCHS = 4


@dataclasses.dataclass(frozen=True)
class Case:
    """An objective with the size of its batches."""

    objective: Literal["softmax", "cosine"]
    batch: int

    @property
    def name(self) -> str:
        """The objective and the size of its batches."""
        return f"{self.objective}-{self.batch}"


_CASES = {case.name: case for case in (Case("softmax", 2048), Case("softmax", 8192), Case("cosine", 1024))}


def main() -> None:
    """Measures all cases in interleaved runs. With `--case`, performs a single measured run."""
    arguments = _arguments()
    if arguments.case:
        print(json.dumps(_run(_CASES[arguments.case], arguments.rows)))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in _CASES}
    for number in range(arguments.runs):
        for name, runs in found.items():
            runs.append(measured_run("losses", "--case", name, "--rows", str(arguments.rows)))
            print(f"run {number + 1}: {name}: {_summary(runs[-1])}", flush=True)
    medians = {
        name: {key: round(statistics.median(run[key] for run in runs), 2) for key in runs[0]}
        for name, runs in found.items()
    }
    worst = max(medians.values(), key=lambda run: run["ratio"])
    record = {"benchmark": "losses", "ratio": worst["ratio"], "ours": worst["epoch"], "theirs": worst["products"]}
    print(json.dumps(record | {"unit": "s", "n": arguments.rows, "runs": arguments.runs, "found": medians}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.losses", description=str(__doc__).splitlines()[0])
    parser.add_argument("--rows", type=int, default=167_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--case", choices=list(_CASES), help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(case: Case, rows: int) -> dict[str, float]:
    """Returns the seconds of an epoch and of its products, and memory in MiB."""
    from compat.glibc import keep_freed_memory
    from trainer.settings import ModelSettings

    importlib.import_module("trainer.gradient.learner")  # TensorFlow is not part of the peak.
    keep_freed_memory()
    model = ModelSettings(dimension=_DIMENSION, objective=case.objective)
    shared = model.negative_count + (case.batch if case.objective == "softmax" else 0)
    before = resident_memory()
    epochs = _Epochs(case, rows, model)
    epochs.run()
    peak = peak_memory() - before
    products = _Products(case.batch, shared, -(-rows // case.batch))
    products.run()
    timed = [(epochs.run(), products.run()) for _ in range(_EPOCHS)]
    epoch, product = (min(column) for column in zip(*timed, strict=True))
    square = case.batch * shared * 4
    return {
        "ratio": round(epoch / product, 2),
        "epoch": round(epoch, 3),
        "products": round(product, 3),
        "peak": round(peak / 2**20),
        "square": round(square / 2**20),
    }


class _Epochs:
    """Epochs of our training, one for each call of `run`."""

    def __init__(self, case: Case, rows: int, model: Any) -> None:
        from trainer.data.pairs import Pairs
        from trainer.gradient.batches import BatchMaker, NegativeSampler
        from trainer.gradient.learner import Learner
        from trainer.gradient.optimizers import build_optimizer
        from trainer.model.network import build_model
        from trainer.model.table_sizes import TableSizes
        from trainer.settings import TrainSettings

        random = np.random.default_rng(1)
        share = 1 / np.arange(1, _RIGHT + 1) ** 0.7
        right = random.choice(_RIGHT, rows, p=share / share.sum()).astype(np.int32)
        left = random.integers(0, _LEFT, rows, dtype=np.int32)
        self._pairs = Pairs(left, right, np.ones(rows, np.float32))
        sampler = NegativeSampler.of(np.bincount(right, minlength=_RIGHT), model)
        self._maker = BatchMaker(case.batch, 1, _RIGHT, False, sampler)
        self._steps, self._done = -(-rows // case.batch), 0
        network = build_model(TableSizes(_LEFT, _RIGHT), model, seed=1)
        self._learner = Learner(network, model)
        optimizer = build_optimizer(TrainSettings(optimizer="adam", learning_rate=0.002))
        optimizer.build(network.trainable_variables)
        self._learner.compile(optimizer=optimizer, steps_per_execution=self._steps)

    def run(self) -> float:
        """Runs an epoch. Returns its seconds."""
        since = time.monotonic()
        batches = self._maker.training(self._pairs, range(self._done, self._done + 1))
        self._learner.fit(batches, epochs=1, steps_per_epoch=self._steps, shuffle=False, verbose=0)
        self._done += 1
        return time.monotonic() - since


class _Products:
    """The three matrix products of each step of an epoch, with arrays of the same sizes."""

    def __init__(self, batch: int, candidates: int, steps: int) -> None:
        import tensorflow as tf

        left, right = tf.random.normal((batch, _DIMENSION)), tf.random.normal((candidates, _DIMENSION))

        @tf.function
        def products() -> tf.Tensor:
            scores = tf.matmul(left, right, transpose_b=True)
            return tf.reduce_sum(tf.matmul(scores, right)) + tf.reduce_sum(tf.matmul(scores, left, transpose_a=True))

        self._products, self._steps = products, steps

    def run(self) -> float:
        """Computes the products of an epoch. Returns the seconds."""
        since = time.monotonic()
        for _ in range(self._steps):
            self._products().numpy()
        return time.monotonic() - since


def _summary(run: dict[str, float]) -> str:
    times = f"{run['epoch']:.2f} s an epoch, {run['products']:.2f} s its products, {run['ratio']:.2f} times"
    return f"{times}. Peak {run['peak']:,.0f} MiB, all scores {run['square']:,.0f} MiB"


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
