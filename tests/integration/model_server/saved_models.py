"""Small SavedModels with outputs that are easy to compute by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

TYPES = (
    "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", "string",
)  # fmt: skip


class _Half(tf.Module):
    """y = x / 2 + `offset`."""

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.half = tf.Variable(0.5)
        self.offset = tf.Variable(offset)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def predict(self, x):
        return {"y": x * self.half + self.offset}


def write_half(path: Path, offset: float = 2.0) -> Path:
    """Writes a model that computes x / 2 + `offset`."""
    model = _Half(offset)
    tf.saved_model.save(model, str(path), signatures={"serving_default": model.predict})
    return path


def write_types(path: Path) -> Path:
    """Writes signatures `echo_TYPE` that return their input, and signatures with unusual shapes."""
    module = tf.Module()
    signatures = {}

    def add(name: str, function: Callable, **specs: tf.TensorSpec) -> None:
        named = [tf.TensorSpec(spec.shape, spec.dtype, name=alias) for alias, spec in specs.items()]
        signatures[name] = tf.function(function, input_signature=named).get_concrete_function()

    for kind in TYPES:
        add(f"echo_{kind}", lambda x: {"y": tf.identity(x)}, x=tf.TensorSpec(None, kind))
    add(
        "two",
        lambda a, b: {"total": a + tf.reduce_sum(b, axis=1), "first": b[:, 0]},
        a=tf.TensorSpec([None], tf.float32),
        b=tf.TensorSpec([None, 2], tf.float32),
    )
    add("binary", lambda x: {"y_bytes": x, "y": x}, x=tf.TensorSpec([None], tf.string))
    add("scalar", lambda x: {"y": x * 2.0}, x=tf.TensorSpec([], tf.float32))
    add("one", lambda x: {"y": tf.reduce_sum(x), "z": x}, x=tf.TensorSpec([None], tf.float32))
    add("divide", lambda x: {"y": 1.0 / x}, x=tf.TensorSpec([None], tf.float32))
    add("matrix", lambda x: {"y": tf.matmul(x, x)}, x=tf.TensorSpec([None, None], tf.float32))
    tf.saved_model.save(module, str(path), signatures=signatures)
    return path


def write_examples(path: Path) -> Path:
    """Writes classify and regress signatures on tf.Examples with floats `x` and `y`. `y` defaults to 0."""
    features = {"x": tf.io.FixedLenFeature([], tf.float32), "y": tf.io.FixedLenFeature([], tf.float32, 0.0)}
    spec = [tf.TensorSpec([None], tf.string, name="inputs")]
    module = tf.Module()

    def total(inputs):
        parsed = tf.io.parse_example(inputs, features)
        return parsed["x"] + 10 * parsed["y"]

    def classify(inputs):
        score = total(inputs)
        classes = tf.tile([["low", "high"]], [tf.size(score), 1])
        return {"classes": classes, "scores": tf.stack([1 - score, score], axis=1)}

    functions = {
        "serving_default": lambda inputs: {"outputs": total(inputs)},
        "classify": classify,
        "scores_only": lambda inputs: {"scores": classify(inputs)["scores"]},
        "classes_only": lambda inputs: {"classes": classify(inputs)["classes"]},
        "regress": lambda inputs: {"outputs": total(inputs)[:, None]},
        "wide": lambda inputs: {"outputs": classify(inputs)["scores"]},
    }
    signatures = {name: tf.function(function, input_signature=spec) for name, function in functions.items()}
    tf.saved_model.save(module, str(path), signatures=signatures)
    return path


def write_ranking(path: Path, entities: int) -> Path:
    """Writes a signature `similar_right` like that of a published model: numbers near the number that is asked for.

    The id of entity `i` is `i` as text, and the score of `a` and `b` is `-|a - b|`.
    """
    module = tf.Module()
    module.ids = tf.Variable([str(i).encode() for i in range(entities)], trainable=False)

    def similar_right(left_id, k):
        numbers = tf.strings.to_number(left_id)
        scores = -tf.abs(numbers[:, None] - tf.range(entities, dtype=tf.float32)[None, :])
        best = tf.math.top_k(scores, k=tf.clip_by_value(k, 0, entities))
        return {"right_id": tf.gather(module.ids.read_value(), best.indices), "score": best.values}

    specs = [tf.TensorSpec([None], tf.string, name="left_id"), tf.TensorSpec([], tf.int32, name="k")]
    function = tf.function(similar_right, input_signature=specs, autograph=False)
    signatures = {"similar_right": function.get_concrete_function()}
    tf.saved_model.save(module, str(path), signatures=signatures)
    return path
