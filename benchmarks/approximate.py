"""Approximate rankings compared with exact ones: recall@10, time on one thread and memory.

`python -m benchmarks.serve --approximate` runs this. Vectors lie around centers, five hundred entities each on average,
with lengths that differ, as vectors of trained models do. `gaussian` vectors have no clusters, which is the worst case.
The same graph as in a published model ranks, without the lookup of ids. Exact and approximate requests alternate. `cpu`
is processor time, which other load on the machine changes less than `ms`, the time on the clock.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from typing import Any

import numpy as np
import threadpoolctl

_K = 10
_PER_CENTER = 500
_WARM_UP = 5


def vectors_like(kind: str, rows: int, dimension: int, seed: int = 0) -> np.ndarray:
    """Returns float32 `[rows, dimension]`, `clustered` or `gaussian`."""
    random = np.random.default_rng(seed)
    noise = random.standard_normal((rows, dimension), np.float32)
    if kind == "gaussian":
        return noise
    spectrum = np.arange(1, dimension + 1, dtype=np.float32) ** -0.5
    centers = random.standard_normal((max(rows // _PER_CENTER, 10), dimension), np.float32)
    noise *= 0.5
    for start in range(0, rows, 1 << 16):
        part = noise[start : start + (1 << 16)]
        part += centers[random.integers(0, len(centers), len(part))]
        part *= spectrum * np.exp(0.2 * random.standard_normal((len(part), 1), np.float32))
    return noise


def measure(kind: str, entities: int, dimension: int, requests: int) -> dict[str, Any]:
    """Returns recall, times and bytes of both rankings of `entities` vectors."""
    import tensorflow as tf

    from trainer.export.side_index import SideIndex
    from trainer.export.sides import SideVariables, TableVariables

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    random = np.random.default_rng(1)
    vectors = vectors_like(kind, entities, dimension)
    # The queries of the calibration, then those that are measured.
    near = vectors[random.permutation(entities)[: 512 + requests]]
    queries = near + 0.3 * random.standard_normal(near.shape, np.float32) * np.abs(near).mean()
    side = SideVariables("right", TableVariables([b""] * entities, vectors), np.zeros(entities, np.float32), False)
    del vectors
    started = time.process_time()
    with threadpoolctl.threadpool_limits(1, "blas"):  # as in the Trainer
        index = SideIndex(side)
        probes = index.by_score.calibrate(index.parts, queries[:512], None)
    seconds = time.process_time() - started
    k, groups, blocks = tf.constant(_K), tf.constant(probes.groups), tf.constant(probes.probes)

    @tf.function(autograph=False)
    def exact(query: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return side.nearest(side.products(query) + side.bias.read_value()[: side.count], k, side.count)

    @tf.function(autograph=False)
    def approximate(query: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return index.nearest(index.by_score, query, tf.constant([-1], tf.int64), k, groups, blocks)

    ways = {"exact": exact, "approximate": exact if probes.probes == len(index.parts.blocks) else approximate}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    found = []
    for number, query in enumerate(tf.constant(queries[512:])):
        rows = {}
        for name, ranking in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            rows[name] = set(ranking(query[None])[0].numpy()[0].tolist())
            if number >= _WARM_UP:
                times[name].append(((time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000))
        found.append(len(rows["exact"] & rows["approximate"]) / _K)
    columns = {name: np.array(of_name) for name, of_name in times.items()}
    result = {"vectors": kind, "n": entities, "dimension": dimension, "runs": requests - _WARM_UP}
    result |= {
        "recall@10": round(statistics.mean(found), 4),
        "probes": probes.probes,
        "blocks": len(index.parts.blocks),
    }
    result |= {"groups_read": probes.groups, "groups": len(index.parts.groups)}
    result |= {"rows_read": round(probes.probes / len(index.parts.blocks), 5), "index_cpu_seconds": round(seconds, 1)}
    for name, of_name in columns.items():
        result |= {f"{name}_ms": _middle(of_name[:, 0]), f"{name}_cpu_ms": _middle(of_name[:, 1])}
        result[f"{name}_p99_ms"] = round(float(np.quantile(of_name[:, 0], 0.99)), 3)
    result["table_mb"] = round(side.vectors.numpy().nbytes / 1e6, 1)
    spaces = (index.by_score, index.by_cosine)
    of_spaces = [of for space in spaces for of in (space.blocks, space.groups, space.of_rows) if of is not None]
    parts = [index.order, index.starts, index.firsts, index.fewest_rows, index.fewest_blocks, *of_spaces]
    result["index_mb"] = round(sum(variable.numpy().nbytes for variable in parts) / 1e6, 1)
    return result | {"peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)}


def _middle(values: np.ndarray) -> float:
    return round(float(np.median(values)), 3)


def main(arguments: argparse.Namespace) -> None:
    """Measures both kinds of vectors. Prints a line for each, and one JSON line for all."""
    cases = [measure(kind, arguments.entities, arguments.dimension, arguments.requests) for kind in arguments.vectors]
    for case in cases:
        print(json.dumps(case), flush=True)
    first = cases[0]
    result = {
        "benchmark": "serve --approximate",
        "ratio": round(first["exact_cpu_ms"] / first["approximate_cpu_ms"], 1),
    }
    result |= {"ours": first["approximate_ms"], "theirs": first["exact_ms"], "unit": "ms", "n": arguments.entities}
    print(json.dumps(result | {"runs": first["runs"], "cases": cases}))
