"""A minimal Keras script with a softmax of cosines over the right entities of a batch, as `model.objective: softmax`.

    python -m benchmarks.bare_softmax DATA.npz EPOCHS

Reads arrays `left`, `right` and `sizes`. Writes unit vectors to DATA.tables.npz. Prints the seconds of `fit`.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from benchmarks.sparse import BATCH, DIMENSION, RATE, TEMPERATURE, report


def main() -> None:
    """Trains, and writes the vectors."""
    file, epochs = Path(sys.argv[1]), int(sys.argv[2])
    with np.load(file) as stored:
        left, right, sizes = stored["left"], stored["right"], stored["sizes"]
    keras.utils.set_random_seed(1)
    since = time.perf_counter()
    counts = np.bincount(right, minlength=sizes[1])
    log_counts = tf.constant(np.log(np.maximum(counts, 1) / counts.sum() * BATCH), tf.float32)
    inputs = [keras.Input((), dtype="int32") for _ in sizes]
    tables = [keras.layers.Embedding(int(rows), DIMENSION) for rows in sizes]
    units = [keras.layers.UnitNormalization()(table(ids)) for table, ids in zip(tables, inputs, strict=True)]
    model = keras.Model(inputs, keras.ops.concatenate([*units, keras.ops.cast(inputs[1][:, None], "float32")], axis=1))

    def loss(_: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        ids = tf.cast(rows[:, -1], tf.int32)
        logits = tf.matmul(rows[:, :DIMENSION], rows[:, DIMENSION:-1], transpose_b=True) / TEMPERATURE
        logits -= tf.gather(log_counts, ids)
        same = (ids[:, None] == ids[None, :]) & ~tf.eye(tf.size(ids), dtype=tf.bool)
        logits = tf.where(same, -1e9, logits)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(tf.range(tf.size(ids)), logits)

    model.compile(optimizer=keras.optimizers.Adam(RATE), loss=loss)
    model.fit([left, right], np.zeros(len(left), np.float32), batch_size=BATCH, epochs=epochs, verbose=0)
    vectors = [table.get_weights()[0] for table in tables]
    seconds = time.perf_counter() - since
    vectors = [rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12) for rows in vectors]
    np.savez(file.with_suffix(".tables.npz"), left=vectors[0], right=vectors[1])
    print(report(seconds))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
