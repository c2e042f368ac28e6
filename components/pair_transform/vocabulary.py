"""TensorFlow Transform's vocabularies from the tables of ids that ingestion counted: its files to the byte.

TensorFlow Transform would count every id of every row again. `register_ptransform` lets these steps take the place of
its own. A vocabulary is found by the name of its `tft.vocabulary`, which is also the name of its file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from tensorflow_transform import analyzer_nodes, analyzers
from tensorflow_transform.beam import common

from compat.tensorflow_transform import own_step
from trainer import features
from trainer.data.examples import TRAIN, Entities, Examples, vocabulary_order
from trainer.entity_features.table import ID, read_table

_WRITE_ROWS = 1 << 20
_SIDES = {
    features.LEFT_VOCABULARY: (features.LEFT,),
    features.RIGHT_VOCABULARY: (features.RIGHT,),
    features.SHARED_VOCABULARY: (features.LEFT, features.RIGHT),
}


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """A vocabulary that is not read yet. It is what the steps pass on, so that no table travels between workers.

    Attributes:
      examples: URI of the examples.
      sides: the sides whose ids it has.
      min_count: the least number of rows in the train split.
      most: the largest size.
    """

    examples: str
    sides: tuple[str, ...]
    min_count: int = 1
    most: int | None = None

    def tokens(self) -> pa.Array:
        """Reads the ids in the order of the vocabulary. Entities that only have features come last."""
        examples = Examples(self.examples)
        ids, counts = _added([examples.entities(side) for side in self.sides])
        frequent = ids.slice(0, np.count_nonzero(counts >= self.min_count)).slice(0, self.most)
        unseen = [unseen_ids(examples, side).cast(frequent.type) for side in self.sides]
        return pa.concat_arrays([frequent, *unseen]) if any(map(len, unseen)) else frequent


def unseen_ids(examples: Examples, side: str) -> pa.Array:
    """Returns the ids of a side that have features but no row in the train split, in the order of their file."""
    table = read_table(examples.uri, side)
    if table is None:
        return pa.array([], pa.large_binary())
    entities, ids = examples.entities(side), table[ID].combine_chunks()
    return ids.filter(pc.invert(pc.is_in(ids, value_set=entities.ids.slice(0, entities.trained))))


def _added(tables: list[Entities]) -> tuple[pa.Array, np.ndarray]:
    """Returns the ids of all tables and their rows in the train split, in the order of a vocabulary."""
    if len(tables) == 1:
        return tables[0].ids, tables[0].counts[TRAIN]
    encoded = pa.chunked_array([table.ids for table in tables]).combine_chunks().dictionary_encode()
    every = np.concatenate([table.counts[TRAIN] for table in tables])
    # Exact: these are whole numbers below 2^53.
    counts = np.bincount(encoded.indices.to_numpy(), every, len(encoded.dictionary)).astype(np.int64)
    order = vocabulary_order(encoded.dictionary, counts)
    return encoded.dictionary.take(pa.array(order)), counts[order]


@contextlib.contextmanager
def taken_from(examples: str) -> Iterator[None]:
    """Makes the vocabularies of pipelines in the block from the tables of ids of `examples`, the URI of an artifact.

    TensorFlow Transform looks first for steps that are registered for TensorFlow 2, and its own are registered for any.
    """
    steps: dict[Any, type[_Step]] = {
        analyzer_nodes.VocabularyAccumulate: type("Accumulate", (Accumulate,), {"examples": examples}),
        analyzer_nodes.VocabularyMerge: Merge,
        analyzer_nodes.VocabularyPrune: Prune,
        analyzer_nodes.VocabularyCount: Count,
        analyzer_nodes.VocabularyOrderAndWrite: OrderAndWrite,
    }
    own = {operation: own_step(operation) for operation in steps}
    _register(steps)
    try:
        yield
    finally:
        _register({operation: step for operation, step in own.items() if step})


def _register(steps: Mapping[Any, type[beam.PTransform]]) -> None:
    for operation, step in steps.items():
        common.register_ptransform(operation, tags={common.EnvironmentTags.TF_V2_ONLY})(step)


class _Step(beam.PTransform):
    """A step of a vocabulary, with the constructor that TensorFlow Transform calls.

    Args:
      operation: analyzer node with the settings of the vocabulary.
      extra_args: arguments of the pipeline, such as `base_temp_dir`.
    """

    def __init__(self, operation: Any, extra_args: Any) -> None:
        super().__init__()
        self._operation, self._extra_args = operation, extra_args


class Accumulate(_Step):
    """Finds the vocabulary. It reads no row."""

    examples = ""

    def expand(self, inputs: tuple[beam.PCollection, ...]) -> beam.PCollection:
        """One PCollection of batches of tokens to one of a vocabulary.

        Raises:
          ValueError: the vocabulary has another name or order than those that ingestion counts for.
        """
        if self._operation.vocab_ordering_type != analyzers._VocabOrderingType.FREQUENCY:
            raise ValueError("only vocabularies in the order of frequency are counted at ingestion")
        name = self._operation.label.partition("[")[2].rstrip("]")
        if name not in _SIDES:
            raise ValueError(f"no ids are counted for the vocabulary {name!r}, only for {', '.join(_SIDES)}")
        (batches,) = inputs
        return batches.pipeline | f"Vocabulary[{name}]" >> beam.Create([Vocabulary(self.examples, _SIDES[name])])


class Merge(_Step):
    """Nothing is left to merge."""

    def expand(self, inputs: tuple[beam.PCollection, ...]) -> beam.PCollection:
        """One PCollection of a vocabulary to the same one."""
        (vocabulary,) = inputs
        return vocabulary | "Same" >> beam.Map(lambda found: found)


class Prune(_Step):
    """Keeps the tokens that are frequent enough, and at most `top_k` of them."""

    def expand(self, inputs: tuple[beam.PCollection, ...]) -> beam.PCollection:
        """One PCollection of a vocabulary to another."""
        (vocabulary,) = inputs
        limits = {"min_count": max(self._operation.frequency_threshold or 1, 1), "most": self._operation.top_k}
        return vocabulary | "Prune" >> beam.Map(lambda whole: dataclasses.replace(whole, **limits))


class Count(_Step):
    """Counts the tokens of a vocabulary. An empty vocabulary has one placeholder token."""

    def expand(self, inputs: tuple[beam.PCollection, ...]) -> beam.PCollection:
        """One PCollection of a vocabulary to one of its size."""
        (vocabulary,) = inputs
        return vocabulary | "Size" >> beam.Map(lambda found: np.int64(max(len(found.tokens()), 1))).with_output_types(
            np.int64
        )


class OrderAndWrite(_Step):
    """Writes the vocabulary file."""

    def expand(self, inputs: tuple[beam.PCollection, ...]) -> tuple[beam.PCollection]:
        """One PCollection of a vocabulary to one of the path of its file."""
        (vocabulary,) = inputs
        path = os.path.join(self._extra_args.base_temp_dir, self._operation.vocab_filename)
        return (vocabulary | "Write" >> beam.Map(_write, path).with_output_types(np.ndarray),)


def _write(vocabulary: Vocabulary, path: str) -> np.ndarray:
    tokens = vocabulary.tokens()
    if not len(tokens):
        tokens = pa.array([analyzers.get_empy_vocabulary_dummy_value(tf.string.name)[1]], pa.large_binary())
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.gfile.GFile(path, "wb") as file:
        for start in range(0, len(tokens), _WRITE_ROWS):
            # Arrow puts the lines next to each other in one buffer.
            empty, line_end = (pa.scalar(part, tokens.type) for part in (b"", b"\n"))
            lines = pc.binary_join_element_wise(tokens.slice(start, _WRITE_ROWS), empty, line_end)
            file.write(lines.buffers()[2].to_pybytes())
    return np.array(path)
