"""Lists for many entities, compared with the matrix product and the selection alone.

    python -m benchmarks.recommend [--entities 100000] [--users 20000] [--dimension 64] [-k 10]

`ours` is `kindred recommend --for` a file with the users, without the start of the process and of the model. `product`
is the time of a NumPy matrix product of the same shape in blocks, and `selection` adds np.argpartition. Runs are
interleaved, and the medians are compared. The time for a million users is extrapolated, because users are independent.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

_BLOCK = 512


def main() -> None:
    """Measures. Prints a line per run."""
    arguments = _arguments()
    from benchmarks.random_model import publish
    from components.batch_lists.output import staged
    from components.batch_lists.ranking import rank
    from serving.local_model import LocalModel

    with tempfile.TemporaryDirectory() as folder:
        publish(arguments.entities, arguments.dimension, Path(folder, "model"))
        model = LocalModel(Path(folder, "model"))
        queries = model.ids("left").slice(0, arguments.users)
        found: dict[str, list[float]] = {"ours": [], "product": [], "selection": []}
        for number in range(arguments.runs):
            since = time.monotonic()
            ranking = rank(model, "right", arguments.k, queries)
            with staged(Path(folder, "lists.parquet"), ranking.schema) as write:
                for _, table in ranking.blocks(0, ranking.count):
                    write(table)
            found["ours"].append(time.monotonic() - since)
            for name, select in (("product", False), ("selection", True)):
                found[name].append(_bare(arguments, select))
            print(f"run {number + 1}: " + ", ".join(f"{name} {seconds[-1]:.2f} s" for name, seconds in found.items()))
    medians = {name: statistics.median(seconds) for name, seconds in found.items()}
    result = {"benchmark": "recommend", "n": arguments.users, "runs": arguments.runs, "unit": "s"}
    result |= {name: round(seconds, 2) for name, seconds in medians.items()}
    result["of_product"] = round(medians["product"] / medians["ours"], 2)
    result["seconds_for_a_million_users"] = round(medians["ours"] / arguments.users * 1e6)
    print(json.dumps(result))


def _bare(arguments: argparse.Namespace, select: bool) -> float:
    """Returns the seconds of the product of users and entities, and of the selection of the best k."""
    numbers = np.random.default_rng(1)
    users, entities = (
        numbers.standard_normal((count, arguments.dimension), np.float32)
        for count in (arguments.users, arguments.entities)
    )
    since = time.monotonic()
    for start in range(0, arguments.users, _BLOCK):
        scores = users[start : start + _BLOCK] @ entities.T
        if select:
            np.argpartition(scores, -arguments.k, axis=1)
    return time.monotonic() - since


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recommend", description=str(__doc__).splitlines()[0])
    parser.add_argument("--entities", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--dimension", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("-k", type=int, default=10)
    return parser.parse_args()


if __name__ == "__main__":
    main()
