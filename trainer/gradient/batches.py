"""Batches of pairs for training: shuffled in every epoch, with sampled negatives if the objective needs them.

All randomness depends only on (seed, epoch) or (seed, epoch, step), so a training that resumes at epoch 7 sees the same
batches.
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

# The rows of each batch for one replica: `replica`, `replica + replicas`, and so on.
ALONE = range(1)


@dataclasses.dataclass(frozen=True)
class NegativeSampler:
    """Samples right entities for negative pairs.

    Attributes:
      candidates: the right entities with a training pair.
      occurrences: the number of pairs of each candidate.
      count: the number of negatives.
      by_popularity: whether candidates are sampled in proportion to their pairs instead of uniformly.
      shared: whether all pairs of a batch share the same negatives.
    """

    candidates: np.ndarray  # int32 [c]
    occurrences: np.ndarray  # int64 [c]
    count: int
    by_popularity: bool
    shared: bool

    @classmethod
    def of(cls, occurrences: np.ndarray, settings: ModelSettings) -> NegativeSampler | None:
        """Returns the sampler for the objective, or None if it needs no negatives.

        Args:
          occurrences: int64 `[rows]`, the number of pairs of each right entity.
          settings: section `model` of the pipeline file.
        """
        if settings.objective not in ("logistic", "pairwise", "softmax", "cosine"):
            return None
        candidates = np.flatnonzero(occurrences).astype(np.int32)
        popular = settings.negatives.sampling == "popularity"
        count, shared = settings.negative_count, settings.shares_negatives
        return cls(candidates, occurrences[candidates], count, popular, shared)

    def draw(self, random: np.random.Generator, pairs: int) -> np.ndarray:
        """Returns negatives int32 `[pairs, count]`, or `[count]` if the batch shares them."""
        shape = (self.count,) if self.shared else (pairs, self.count)
        if not self.by_popularity:
            return self.candidates[random.integers(0, len(self.candidates), shape)]
        drawn = random.integers(0, self._ends[-1], shape)
        return self.candidates[np.searchsorted(self._ends, drawn, side="right")]

    @functools.cached_property
    def _ends(self) -> np.ndarray:
        return self.occurrences.cumsum()

    def log_expected_counts(self, rows: int, pairs: int) -> np.ndarray:
        """Returns the log of the expected count of each right entity among the candidates of a batch, float32 `[rows]`.

        The candidates are the right entities of `pairs` pairs, in proportion to their occurrences, and `count` samples.
        """
        share = self.occurrences / self.occurrences.sum()
        sampled = share if self.by_popularity else np.full(len(share), 1 / len(share))
        logs = np.zeros(rows, np.float32)
        logs[self.candidates] = np.log(pairs * share + self.count * sampled)
        return logs


@dataclasses.dataclass(frozen=True)
class BatchMaker:
    """Makes the batches of one training.

    A batch has `left` and `right` int32 `[b]`, `label` float32 `[b]`, and `rows` float32 `[]`, the number of pairs of
    the whole batch, of which a replica may see a part. If rows have weights, it has `weight` `[b]`. If negatives are
    sampled, it has `negatives` `[b, count]`, or `[count]` if the batch shares them, and the corrections `log_count`
    `[b]` and `negative_log_count` `[count]`.
    """

    batch_size: int
    seed: int
    right_rows: int
    weighted: bool
    sampler: NegativeSampler | None = None

    def training(self, pairs: TrainingPairs, epochs: range, replicas: range = ALONE, of: int = 1) -> tf.data.Dataset:
        """Returns the batches of epochs.

        Args:
          pairs: the training pairs.
          epochs: the numbers of the epochs, from 0.
          replicas: the replicas whose rows of each batch are returned.
          of: the number of all replicas.
        """

        def generate() -> Iterator[Batch]:
            for epoch in epochs:
                shuffle = np.random.default_rng((self.seed, epoch))
                for step, batch in enumerate(pairs.shuffled(shuffle, self.batch_size)):
                    made = self._make(batch, (self.seed, epoch, step))
                    for replica in replicas:
                        yield self._share(made, replica, of)

        return self._dataset(generate)

    def validation(self, pairs: Pairs, replicas: range = ALONE, of: int = 1) -> tf.data.Dataset:
        """Returns one pass in order, with the same negatives in every pass.

        Args:
          pairs: the held-out pairs.
          replicas: the replicas whose rows of each batch are returned.
          of: the number of all replicas.
        """

        def generate() -> Iterator[Batch]:
            for step, batch in enumerate(pairs.in_order(self.batch_size)):
                # No training epoch has this number.
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
        """Returns the rows of a batch for one replica. Values that the whole batch shares stay complete."""
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
        batches = tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(4)
        # Nothing here is tuned. And the end of a training would wait until the thread that tunes is asleep.
        options = tf.data.Options()
        options.autotune.enabled = False
        return batches.with_options(options)
