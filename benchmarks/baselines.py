"""ALS and BPR of implicit, tuned on validation pairs and tested once, to compare with `benchmarks.quality`.

    KINDRED_BENCH_DATA=FOLDER python -m benchmarks.baselines [--data amazon-beauty] [--libraries implicit]

Prints each trial, and recall@20 of the best on the test pairs. Training pairs are excluded from rankings, and for the
test also validation pairs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import libraries, research_data, sparse
from benchmarks.research_data import Positives

_DATA = {"amazon-beauty": research_data.amazon_beauty, "lastfm": research_data.lastfm}
_ALS_EPOCHS, _BPR_EPOCHS = 15, 100


def main() -> None:
    """Tries every setting."""
    arguments = _arguments()
    data = _DATA[arguments.data]()
    assert data.validation is not None
    peer = libraries.environment(arguments.cache)
    validation = Positives(data.train, data.validation)
    test = Positives(np.concatenate([data.train, data.validation]), data.test)
    stored = {"left": data.train[:, 0], "right": data.train[:, 1], "sizes": np.array(data.sizes)}
    best: dict[str, Any] = {"validation": -1.0}
    with tempfile.TemporaryDirectory() as directory:
        for kind, epochs, settings in _grid(arguments.dimensions, arguments.libraries):
            train = libraries.training(peer, kind, Path(directory) / "pairs.npz", stored | settings)
            seconds, tables = train(epochs)
            left, right = np.split(tables, [data.sizes[0]])
            found = sparse.recall(validation, left, right)
            print(f"{kind} {settings}: validation recall@20 {found:.4f}, {seconds:.1f} s", flush=True)
            if found > best["validation"]:
                best = {"library": kind, **settings, "validation": found, "test": sparse.recall(test, left, right)}
    record = {"benchmark": "baselines", "ratio": None, "ours": None, "theirs": round(best["test"], 4)}
    print(json.dumps(record | {"unit": "recall@20", "n": len(data.train), "runs": 1, "found": best}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.baselines", description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", default="amazon-beauty", choices=list(_DATA))
    parser.add_argument("--dimensions", nargs="*", type=int, default=[64, 256])
    parser.add_argument("--libraries", nargs="*", default=["implicit", "bpr"], choices=["implicit", "bpr"])
    parser.add_argument("--cache", type=Path, default=Path("build/benchmarks"), help="directory of the libraries")
    return parser.parse_args()


def _grid(dimensions: list[int], libraries: list[str]) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Yields the library, epochs and settings of each trial."""
    of_als = itertools.product(dimensions, (0.1, 10.0), (10.0, 40.0, 160.0)) if "implicit" in libraries else ()
    for factors, regularization, alpha in of_als:
        yield "implicit", _ALS_EPOCHS, {"factors": factors, "regularization": regularization, "alpha": alpha}
    for factors, rate in itertools.product(dimensions, (0.01, 0.05, 0.1)) if "bpr" in libraries else ():
        yield "bpr", _BPR_EPOCHS, {"factors": factors, "learning_rate": rate}


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
