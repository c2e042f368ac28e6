"""Batches of pairs as training reads them: shuffled anew in every epoch, with negatives drawn where they are needed.

Everything random is drawn from (seed, epoch) or (seed, epoch, step): a training that starts again at epoch 7 sees what
it would have seen.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from trainer.data.pairs import Pairs, TrainingPairs
from trainer.settings import ModelSettings

Batch = dict[str, np.ndarray]

# Which rows of each batch a replica trains on: the rows `replica`, `replica + replicas`, ...
ALONE = range(1)


@dataclasses.dataclass(frozen=True)
class NegativeSampler:
    """Draws right entities that stand for pairs nobody saw.

    `candidates` are the right entities with a training pair; `occurrences` how many they have. Uniform: each candidate
    as likely; by popularity: as likely as it occurs.
    """

    candidates: np.ndarray  # int32 [c]
    occurrences: np.ndarray  # int64 [c]
    count: int
    by_popularity: bool
    shared: bool  # one list for the whole batch, not one for each pair

    @classmethod
    def of(cls, occurrences: np.ndarray, settings: ModelSettings) -> NegativeSampler | None:
        """What the objective needs, for right entities with `occurrences` int64 `[rows]`; None: no negatives."""
        if settings.objective not in ("logistic", "pairwise", "softmax"):
            return None
        candidates = np.flatnonzero(occurrences).astype(np.int32)
        negatives = settings.negatives
        popular = negatives.sampling == "popularity"
        return cls(candidates, occurrences[candidates], negatives.count, popular, settings.objective == "softmax")

    def draw(self, random: np.random.Generator, pairs: int) -> np.ndarray:
        """int32 `[pairs, count]`, or `[count]` where the batch shares them."""
        shape = (self.count,) if self.shared else (pairs, self.count)
        if not self.by_popularity:
            return self.candidates[random.integers(0, len(self.candidates), shape)]
        drawn = random.integers(0, self._ends[-1], shape)
        return self.candidates[np.searchsorted(self._ends, drawn, side="right")]

    @functools.cached_property
    def _ends(self) -> np.ndarray:
        return self.occurrences.cumsum()

    def log_expected_counts(self, rows: int, pairs: int) -> np.ndarray:
        """Log of how often each right entity is expected among the candidates of a batch; float32 `[rows]`.

        A batch of `pairs` pairs offers its own right entities, which come as often as they occur, and `count` sampled
        ones.
        """
        share = self.occurrences / self.occurrences.sum()
        sampled = share if self.by_popularity else np.full(len(share), 1 / len(share))
        logs = np.zeros(rows, np.float32)
        logs[self.candidates] = np.log(pairs * share + self.count * sampled)
        return logs


@dataclasses.dataclass(frozen=True)
class BatchMaker:
    """Makes the batches of one training: `left`, `right` int32 `[b]`, `label` float32 `[b]`, `rows` float32 `[]`.

    `rows` is the number of pairs of the whole batch, of which a replica may see a part. Where rows have weights, also
    `weight` `[b]`; where negatives are drawn, `negatives` `[b, count]`, or `[count]` where the batch shares them, with
    the corrections `log_count` `[b]` and `negative_log_count` `[count]`.
    """

    batch_size: int
    seed: int
    right_rows: int
    weighted: bool
    sampler: NegativeSampler | None = None

    def training(self, pairs: TrainingPairs, epochs: range, replicas: range = ALONE, of: int = 1) -> tf.data.Dataset:
        """Batches of each of `epochs`, by their numbers from 0; of each batch the shares of `replicas`."""

        def generate() -> Iterator[Batch]:
            for epoch in epochs:
                shuffle = np.random.default_rng((self.seed, epoch))
                for step, batch in enumerate(pairs.shuffled(shuffle, self.batch_size)):
                    made = self._make(batch, (self.seed, epoch, step))
                    for replica in replicas:
                        yield self._share(made, replica, of)

        return self._dataset(generate)

    def validation(self, pairs: Pairs, replicas: range = ALONE, of: int = 1) -> tf.data.Dataset:
        """One pass in order, of each batch the shares of `replicas`; the same negatives in every pass."""

        def generate() -> Iterator[Batch]:
            for step, batch in enumerate(pairs.in_order(self.batch_size)):
                # No epoch of training has this number.
                made = self._make(batch, (self.seed, 2**32, step))
                for replica in replicas:
                    yield self._share(made, replica, of)

        steps = -(-len(pairs) // self.batch_size) * len(replicas)
        return self._dataset(generate).apply(tf.data.experimental.assert_cardinality(steps))

    def _make(self, pairs: Pairs, seeds: tuple[int, ...]) -> Batch:
        rows = np.array(len(pairs), np.float32)
        batch = {"left": pairs.left, "right": pairs.right, "label": pairs.label, "rows": rows}
        if self.weighted:
            batch["weight"] = np.ones(len(pairs), np.float32) if pairs.weight is None else pairs.weight
        if self.sampler:
            negatives = self.sampler.draw(np.random.default_rng(seeds), len(pairs))
            batch["negatives"] = negatives
            if self.sampler.shared:
                batch["log_count"] = self._log_counts[pairs.right]
                batch["negative_log_count"] = self._log_counts[negatives]
        return batch

    @functools.cached_property
    def _log_counts(self) -> np.ndarray:
        assert self.sampler
        return self.sampler.log_expected_counts(self.right_rows, self.batch_size)

    def _share(self, batch: Batch, replica: int, of: int) -> Batch:
        """The rows of a batch that are a replica's; what the whole batch shares stays whole."""
        if of == 1:
            return batch
        whole = {"rows", "negative_log_count"} | ({"negatives"} if self.sampler and self.sampler.shared else set())
        return {name: column if name in whole else column[replica::of] for name, column in batch.items()}

    def _dataset(self, generate: Callable[[], Iterator[Batch]]) -> tf.data.Dataset:
        signature = {
            "left": tf.TensorSpec([None], tf.int32),
            "right": tf.TensorSpec([None], tf.int32),
            "label": tf.TensorSpec([None], tf.float32),
            "rows": tf.TensorSpec([], tf.float32),
        }
        if self.weighted:
            signature["weight"] = tf.TensorSpec([None], tf.float32)
        if self.sampler:
            count = self.sampler.count
            signature["negatives"] = tf.TensorSpec([count] if self.sampler.shared else [None, count], tf.int32)
            if self.sampler.shared:
                signature["log_count"] = tf.TensorSpec([None], tf.float32)
                signature["negative_log_count"] = tf.TensorSpec([count], tf.float32)
        return tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(4)
