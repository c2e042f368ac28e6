"""Time of a training epoch, compared with Keras on transformed examples, with a large vocabulary, and from shards.

    python -m benchmarks.train [--rows 1000000] [--runs 3] [--stream 20000000]

Each run is a separate process that trains three epochs (the stock run two) and reports the fastest after the first,
which traces. Stock is `keras.Model.fit` with Adagrad of Keras over `data_accessor.tf_dataset_factory`, as in the
templates of TFX. The model is two tables and their dot product. Entities are drawn uniformly, so that no cache helps.
`peak` is the peak memory above that before building the model. `state` is the size of the tables and of their
optimizer. Both are in bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from benchmarks.harness import measured_run

if TYPE_CHECKING:
    import keras

    from trainer.data.pairs import Pairs, TrainingPairs
    from trainer.model.table_sizes import TableSizes
    from trainer.settings import ModelSettings, TrainSettings

_DIMENSION, _BATCH = 64, 8192
_SMALL, _LARGE = 10_000, 1_200_000
_CHUNK = 1 << 20
_FLOAT = 4
_KINDS = ("ours", "large", "stock", "memory", "shards")


def main() -> None:
    """Measures all kinds. With `--kind`, performs a single measured run."""
    arguments = _arguments()
    if arguments.kind:
        print(json.dumps(_RUNS[arguments.kind](arguments.rows)))
        return
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in _KINDS}
    for number in range(arguments.runs):
        for kind in ("ours", "large", "stock"):
            found[kind].append(_measure(kind, arguments.rows))
            print(f"run {number + 1}: {kind}: {_summary(found[kind][-1])}", flush=True)
    if arguments.stream:
        for kind in ("memory", "shards"):
            found[kind].append(_measure(kind, arguments.stream))
            print(f"{arguments.stream:,} pairs from {kind}: {_summary(found[kind][-1])}", flush=True)
    print(json.dumps(_result(found, arguments)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train", description=str(__doc__).splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--stream", type=int, default=20_000_000, help="pairs to stream from shards (0: none)")
    parser.add_argument("--kind", choices=_KINDS, help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(kind: str, rows: int) -> dict[str, float]:
    return measured_run("train", "--kind", kind, "--rows", str(rows))


def _result(found: dict[str, list[dict[str, float]]], arguments: argparse.Namespace) -> dict[str, Any]:
    ours, large, theirs = (statistics.median(run["seconds"] for run in found[kind]) for kind in _KINDS[:3])
    bandwidth = statistics.median(run["bandwidth"] for run in found["ours"])
    result: dict[str, Any] = {
        "benchmark": "train",
        "ratio": round(theirs / ours, 2),
        "ours": ours,
        "theirs": theirs,
        "unit": "s",
        "n": arguments.rows,
        "runs": arguments.runs,
        "bandwidth_fraction": round(_bytes_moved(arguments.rows) / bandwidth / ours, 3),
        "vocabulary_cost": round(large / ours, 2),
        "vocabulary_peak_to_state": round(max(run["peak"] / run["state"] for run in found["large"]), 2),
        "vocabulary_process_peak_mib": round(max(run["process_peak"] for run in found["large"]) / 2**20),
    }
    if arguments.stream:
        memory, shards = found["memory"][0], found["shards"][0]
        result["streamed"] = {
            "n": arguments.stream,
            "cost": round(shards["seconds"] / memory["seconds"], 2),
            "seconds": shards["seconds"],
            "process_peak_mib": round(shards["process_peak"] / 2**20),
        }
    return result


def _bytes_moved(rows: int) -> int:
    """Returns the bytes an epoch must move: columns of each pair, and reads and writes of rows and accumulators."""
    return rows * (3 * _FLOAT + 2 * 2 * (_DIMENSION + 1) * _FLOAT)


def _chunks(rows: int, entities: int, seed: int = 1) -> Iterator[Pairs]:
    from trainer.data.pairs import Pairs

    draw = np.random.default_rng(seed)
    for start in range(0, rows, _CHUNK):
        count = min(_CHUNK, rows - start)
        left, right = (draw.integers(0, entities // 2, count, dtype=np.int32) for _ in range(2))
        label = draw.standard_normal(count, dtype=np.float32)
        yield Pairs(left, right, label, np.ones(count, np.float32))


def _train(rows: int, entities: int, memory: int) -> dict[str, float]:
    """Returns the seconds of our fastest epoch after the first, memory in bytes, and bandwidth in bytes per second."""
    from trainer.data.sharded_pairs import collect
    from trainer.model.table_sizes import TableSizes
    from trainer.settings import ModelSettings, TrainSettings

    with tempfile.TemporaryDirectory() as directory:
        pairs = collect(_chunks(rows, entities), memory, directory)
        before = resident_memory()
        sizes = TableSizes(entities // 2, entities // 2)
        settings = TrainSettings(epochs=3, batch_size=_BATCH, early_stopping=None)
        model = ModelSettings(dimension=_DIMENSION, bias=False, regularization=0.0)
        network, seconds = fit_epochs(pairs, sizes, model, settings)
        peak = peak_memory()
    tables = sum(int(variable.numpy().nbytes) for variable in network.variables)
    state = tables + entities * _FLOAT  # one accumulator per row
    return {
        "seconds": round(min(seconds), 3),
        "peak": peak - before,
        "process_peak": peak,
        "state": state,
        "bandwidth": _bandwidth(),
    }


def fit_epochs(
    pairs: TrainingPairs, sizes: TableSizes, model: ModelSettings, settings: TrainSettings
) -> tuple[keras.Model, list[float]]:
    """Trains with our Trainer. Returns the model, and the seconds of each epoch after the first, which traces."""
    from trainer.epochs import Epochs
    from trainer.training import fitting

    ends: list[float] = []
    finish = Epochs.finish

    def timed_finish(self: Epochs, measured: Mapping[str, float], last: bool = False) -> None:
        ends.append(time.monotonic())
        finish(self, measured, last)

    with mock.patch.object(Epochs, "finish", timed_finish):
        network, _ = fitting.fit(pairs, sizes, model, settings)
    return network, np.diff(ends).tolist()


def _stock(rows: int) -> dict[str, float]:
    """Returns the seconds of a Keras epoch over the same examples in the format of Transform."""
    from benchmarks import stock

    with tempfile.TemporaryDirectory() as folder:
        stock.write_transformed(_chunks(rows, _SMALL), Path(folder))
        seconds = stock.fit_epochs(Path(folder), _SMALL // 2, _DIMENSION, _BATCH, steps=-(-rows // _BATCH), epochs=2)
    return {"seconds": round(min(seconds[1:]), 3)}


_RUNS: dict[str, Callable[[int], dict[str, float]]] = {
    "ours": lambda rows: _train(rows, _SMALL, 1 << 40),
    "large": lambda rows: _train(rows, _LARGE, 1 << 40),
    "stock": _stock,
    "memory": lambda rows: _train(rows, _SMALL, 1 << 40),
    "shards": lambda rows: _train(rows, _SMALL, 16 << 20),
}


def _bandwidth() -> float:
    """Returns the bytes per second that a copy of a large array reads and writes."""
    source = np.ones(1 << 25)
    target = np.empty_like(source)
    seconds = []
    for _ in range(5):
        since = time.monotonic()
        np.copyto(target, source)
        seconds.append(time.monotonic() - since)
    return 2 * source.nbytes / min(seconds)


def peak_memory() -> int:
    """Returns the peak memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if sys.platform == "linux" else 1)


def resident_memory() -> int:
    """Returns the memory of this process in bytes."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def _summary(run: dict[str, float]) -> str:
    text = f"{run['seconds']:.2f} s per epoch"
    return text if "peak" not in run else f"{text}, {run['peak'] / 2**20:,.0f} MiB above the start"


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
