"""A minimal training script without a pipeline: pandas, factorized ids, Keras `fit` and an export.

    python -m benchmarks.bare_script DATA TARGET [--epochs 3] [--dimension 32] [--batch-size 4096]

It does not validate data, evaluates only the loss on a held-out tenth, and exports a model that takes row numbers.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import keras
import numpy as np
import pandas as pd  # type: ignore[import-untyped]


def main() -> None:
    """Trains and exports a model."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bare_script", description=str(__doc__).splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("target")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--dimension", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=4096)
    arguments = parser.parse_args()
    pairs = pd.concat([pd.read_csv(path) for path in sorted(Path(arguments.data).iterdir())])
    columns, sizes = [], []
    for name in ("left_id", "right_id"):
        codes, names = pd.factorize(pairs[name])
        columns.append(codes.astype(np.int32))
        sizes.append(len(names))
    label = (pairs["score"] - pairs["score"].mean()).to_numpy(np.float32)
    held_out = np.random.default_rng(1).random(len(pairs)) < 0.1
    inputs = [keras.Input((1,), dtype="int32") for _ in sizes]
    vectors = [
        keras.layers.Flatten()(keras.layers.Embedding(size, arguments.dimension)(side))
        for side, size in zip(inputs, sizes, strict=True)
    ]
    model = keras.Model(inputs, keras.layers.Dot(axes=1)(vectors))
    model.compile(optimizer=keras.optimizers.Adagrad(0.1), loss="mse")
    train, test = ([column[mask] for column in columns] for mask in (~held_out, held_out))
    model.fit(train, label[~held_out], batch_size=arguments.batch_size, epochs=arguments.epochs, verbose=2)
    print("held out:", model.evaluate(test, label[held_out], batch_size=arguments.batch_size, verbose=0))
    model.export(arguments.target, verbose=False)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
