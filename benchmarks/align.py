"""Time to align the ids of a warm start, compared with a Python dictionary.

    python -m benchmarks.align [--ids 2000000] [--runs 3]

Aligns one side. The old and the new vocabulary share nine tenths of their ids in another order, and the table has 16
numbers per row. Reading the checkpoint, which both methods need, is not measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from trainer.training.base_model import BaseSide, read_vocabulary
from trainer.training.warm_start import align

_DIMENSION = 16


def main() -> None:
    """Prints one JSON line with the median seconds of both methods and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ids", type=int, default=2_000_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    random = np.random.default_rng(1)
    old = [b"entity-%d" % i for i in random.permutation(options.ids)]
    new = [b"entity-%d" % i for i in random.permutation(options.ids) + options.ids // 10]
    table = random.normal(size=(options.ids + 1, _DIMENSION)).astype(np.float32)
    side = BaseSide(pa.array(old, pa.large_binary()), table, table[:, 0])
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = Path(folder, "vocabulary")
        vocabulary.write_bytes(b"\n".join(new) + b"\n")
        runs = [
            (_measured(_aligned, vocabulary, side), _measured(_looked_up, vocabulary, old, table))
            for _ in range(options.runs)
        ]
    for (_, actual), (_, expected) in runs:
        if not np.array_equal(actual, expected):
            raise SystemExit("the two methods give different tables")
    ours, theirs = (statistics.median(run[way][0] for run in runs) for way in (0, 1))
    print(
        json.dumps(
            {
                "benchmark": "align", "ratio": round(theirs / ours, 2), "ours": round(ours, 3),
                "theirs": round(theirs, 3), "unit": "s", "n": options.ids, "runs": options.runs,
            }
        )
    )  # fmt: skip


def _measured(work: Callable[..., np.ndarray], *arguments: object) -> tuple[float, np.ndarray]:
    started = time.perf_counter()
    result = work(*arguments)
    return time.perf_counter() - started, result


def _aligned(vocabulary: Path, side: BaseSide) -> np.ndarray:
    """Returns the new table, computed by `trainer.training.warm_start`. Rows of new ids are zero."""
    ids = read_vocabulary(str(vocabulary))
    alignment = align(side, ids, len(ids) + 1)
    table = np.zeros((len(ids) + 1, _DIMENSION), np.float32)
    table[alignment.kept] = side.vectors[alignment.rows[alignment.kept]]
    return table


def _looked_up(vocabulary: Path, old: list[bytes], values: np.ndarray) -> np.ndarray:
    """Returns the same table, computed with a dictionary, one id at a time."""
    places = {name: row for row, name in enumerate(old)}
    ids = vocabulary.read_bytes().splitlines()
    table = np.zeros((len(ids) + 1, _DIMENSION), np.float32)
    for row, name in enumerate(ids):
        place = places.get(name)
        if place is not None:
            table[row] = values[place]
    table[len(ids)] = values[len(old)]
    return table


if __name__ == "__main__":
    main()
