"""All pairs of both splits with their ids as numbers, so that evaluation counts and compares whole columns."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pyarrow as pa

from trainer.data.examples import EVAL, TRAIN, Examples, Rows


@dataclasses.dataclass(frozen=True)
class CodedPairs:
    """Both splits, and the distinct ids of either side that occur in any of them."""

    left_ids: pa.Array  # large_binary [l]
    right_ids: pa.Array  # large_binary [r]
    train: Rows
    eval: Rows

    def counts(self, side: str) -> np.ndarray:
        """How many training pairs each id of a side has; int64."""
        return self._left_counts if side == "left" else self._right_counts

    def weights(self, side: str) -> np.ndarray:
        """The summed weight of the training pairs of each id of a side: int64 counts if rows have no weights."""
        if self.train.weight is None:
            return self.counts(side)
        codes = self.train.left if side == "left" else self.train.right
        return np.bincount(codes, self.train.weight, len(self.counts(side)))

    def observed_entities(self, shared: bool) -> np.ndarray:
        """The entity of each eval row, whose rows are one observation, int64 `[n]`.

        It is the left entity. If both sides are one table, it is the entity that comes first among the ids, so that
        (a, b) and (b, a) are drawn together.
        """
        if not shared:
            return self.eval.left.astype(np.int64)
        ids = pa.concat_arrays([self.left_ids, self.right_ids]).dictionary_encode().indices.to_numpy().astype(np.int64)
        return np.minimum(ids[self.eval.left], ids[len(self.left_ids) + self.eval.right.astype(np.int64)])

    def without_train(self) -> CodedPairs:
        """Returns the same pairs without the rows of the train split, but with their `counts`."""
        none = np.zeros(0, np.int32)
        kept = dataclasses.replace(self, train=Rows(none, none))
        kept.__dict__.update(_left_counts=self._left_counts, _right_counts=self._right_counts)
        return kept

    @functools.cached_property
    def _left_counts(self) -> np.ndarray:
        return np.bincount(self.train.left, minlength=len(self.left_ids))

    @functools.cached_property
    def _right_counts(self) -> np.ndarray:
        return np.bincount(self.train.right, minlength=len(self.right_ids))


def read(examples_uri: str) -> CodedPairs:
    """Reads the train and eval splits of an examples artifact."""
    examples = Examples(examples_uri)
    pairs = CodedPairs(examples.left.ids, examples.right.ids, examples.rows(TRAIN), examples.rows(EVAL))
    # Ingestion has counted them.
    pairs.__dict__.update(_left_counts=examples.left.counts[TRAIN], _right_counts=examples.right.counts[TRAIN])
    return pairs
