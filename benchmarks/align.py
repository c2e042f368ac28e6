"""Seconds to align the ids of a warm start, against a Python dictionary doing the same.

    python -m benchmarks.align [--ids 2000000] [--runs 3]

One side: the ids of an old and of a new vocabulary, of which nine tenths are the same in another order, and tables of
16 numbers a row. The checkpoint's own reading, which both need, is left out.
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

from trainer.training.warm_start import BaseSide, align, read_vocabulary

_DIMENSION = 16


def main() -> None:
    """Prints one JSON line: medians in seconds of both, and how many times faster ours is."""
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
    for (_, found), (_, expected) in runs:
        if not np.array_equal(found, expected):
            raise SystemExit("the two ways do not agree")
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
    """The new table by `trainer.training.warm_start`; rows of new ids are zero."""
    ids = read_vocabulary(str(vocabulary))
    alignment = align(side, ids, len(ids) + 1)
    table = np.zeros((len(ids) + 1, _DIMENSION), np.float32)
    table[alignment.kept] = side.vectors[alignment.rows[alignment.kept]]
    return table


def _looked_up(vocabulary: Path, old: list[bytes], values: np.ndarray) -> np.ndarray:
    """The same with a dictionary, an id at a time."""
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
