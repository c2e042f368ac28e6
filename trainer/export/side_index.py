"""The index of the candidates of one side, and rankings that read some of its blocks, in stock TensorFlow ops."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from trainer.export.sides import SideVariables
from trainer.index.blocks import Partition, partition
from trainer.index.calibration import Described, Probes, calibrate
from trainer.index.centers import Candidates, Centers


class Space(tf.Module):
    """One way to rank the candidates of a side: by score or by cosine.

    Args:
      side: the candidates.
      parts: of the candidates.
      is_cosine: whether they are ranked by cosine.
    """

    def __init__(self, side: SideVariables, parts: Partition, is_cosine: bool) -> None:
        super().__init__(name="cosines" if is_cosine else "scores")
        self._side = side
        self.is_cosine = is_cosine
        candidates = self._candidates()
        described = Described.of(parts, candidates)
        self.blocks = tf.Variable(described.blocks.rows, trainable=False, name="blocks")
        self.groups = tf.Variable(described.groups.rows, trainable=False, name="groups")
        # In the order of blocks, because gathering single numbers from all over the table takes as long as the vectors.
        of_rows = candidates.scale if is_cosine else candidates.bias
        self.of_rows = (
            None
            if of_rows is None or not of_rows.any()
            else tf.Variable(of_rows[parts.blocks.order], trainable=False, name="of_rows")
        )

    def calibrate(self, parts: Partition, queries: np.ndarray, own: np.ndarray | None) -> Probes:
        """Finds the numbers of groups and blocks to read. For the arguments, see `trainer.index.calibration`."""
        described = Described(Centers(self.blocks.numpy()), Centers(self.groups.numpy()))
        return calibrate(self._candidates(), parts, described, queries, own)

    def _candidates(self) -> Candidates:
        side = self._side
        vectors, bias, inverse = (v.numpy()[: side.count] for v in (side.vectors, side.bias, side.inverse_lengths))
        return Candidates(vectors, scale=inverse) if self.is_cosine else Candidates(vectors, bias=bias)

    def scores(self, query: tf.Tensor, rows: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """Returns the scores of some candidates with a query, without what all of them share.

        Args:
          query: float32 `[d]`, of length 1 for a cosine.
          rows: of the candidates, int32 `[rows]`.
          places: of these rows in the order of blocks, int32 `[rows]`.
        """
        products = _products(query, tf.gather(self._side.vectors.read_value(), rows))
        if self.of_rows is None:
            return products
        of_rows = tf.gather(self.of_rows.read_value(), places)
        return products * of_rows if self.is_cosine else products + of_rows


class SideIndex(tf.Module):
    """The blocks of the candidates of one side, in groups.

    The table of vectors keeps the order of the vocabulary. The index has the numbers of rows in the order of blocks, so
    no vector is stored twice.

    Args:
      side: the candidates.
    """

    def __init__(self, side: SideVariables) -> None:
        super().__init__(name=f"{side.side}_index")
        self.side = side
        self.parts = partition(*(variable.numpy()[: side.count] for variable in (side.vectors, side.bias)))
        self.by_score, self.by_cosine = (Space(side, self.parts, is_cosine) for is_cosine in (False, True))
        self.order = tf.Variable(self.parts.blocks.order, trainable=False, name="order")
        self.starts = tf.Variable(self.parts.blocks.starts, trainable=False, name="starts")
        self.firsts = tf.Variable(self.parts.firsts, trainable=False, name="firsts")
        # How many rows any so many blocks have at least, and how many blocks any so many groups.
        self.fewest_rows = _fewest(self.parts.blocks.sizes, "fewest_rows")
        self.fewest_blocks = _fewest(np.diff(self.parts.firsts), "fewest_blocks")

    def blocks_with(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns how many blocks have at least `rows` rows, whichever they are, int32 []."""
        return tf.searchsorted(self.fewest_rows.read_value(), rows[None])[0] + 1

    def groups_for(self, probes: tf.Tensor, default: Probes) -> tf.Tensor:
        """Returns how many groups to choose `probes` blocks from, int32 []. More blocks come from more groups."""
        share = tf.maximum(tf.cast(probes, tf.float32) / default.probes, 1.0)
        wanted = tf.cast(tf.math.ceil(default.groups * share), tf.int32)
        least = tf.searchsorted(self.fewest_blocks.read_value(), probes[None])[0] + 1
        return tf.minimum(tf.maximum(wanted, least), len(self.parts.groups))

    def nearest(
        self, space: Space, queries: tf.Tensor, own: tf.Tensor, k: tf.Tensor, groups: tf.Tensor, probes: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Ranks the rows in the most promising blocks of the most promising groups.

        For equal scores, the lower row comes first, as in exact rankings. One query is ranked at a time, so the memory
        for gathered rows does not depend on the number of queries.

        Args:
          space: how candidates are ranked.
          queries: float32 `[n, d]`.
          own: the row of each query that is no answer, int64 `[n]`, or -1.
          k: number of answers. The blocks have more rows.
          groups: number of groups. They have at least `probes` blocks.
          probes: number of blocks.

        Returns:
          Rows and scores, each `[n, k]`, best first.
        """

        def one(inputs: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
            asked, excluded, chosen = inputs
            blocks = _members(self.firsts, chosen)
            estimates = _products(asked, tf.gather(space.blocks.read_value(), blocks))
            places = _members(self.starts, tf.gather(blocks, tf.math.top_k(estimates, k=probes, sorted=False).indices))
            rows = tf.gather(self.order.read_value(), places)
            scores = space.scores(asked[:-2], rows, places)
            keys = tf.where(tf.equal(tf.cast(rows, tf.int64), excluded), tf.int64.min, _keys(scores, rows))
            best = tf.math.top_k(keys, k=k).indices
            return tf.gather(rows, best), tf.gather(scores, best)

        lengths = tf.norm(queries, axis=1, keepdims=True)
        asked = tf.concat([queries, tf.ones_like(lengths), lengths], axis=1)
        estimates = tf.matmul(asked, space.groups.read_value(), transpose_b=True)
        inputs = asked, own, tf.math.top_k(estimates, k=groups, sorted=False).indices
        ranked: tuple[tf.Tensor, tf.Tensor] = tf.map_fn(one, inputs, fn_output_signature=(tf.int32, tf.float32))
        return ranked


def _fewest(sizes: np.ndarray, name: str) -> tf.Variable:
    """Returns the sum of the `i + 1` smallest sizes at `i`, int32."""
    return tf.Variable(np.cumsum(np.sort(sizes), dtype=np.int32), trainable=False, name=name)


def _members(starts: tf.Variable, parts: tf.Tensor) -> tf.Tensor:
    """Returns the numbers of all members of some parts. `starts` has the first one of each part."""
    of_all = starts.read_value()
    return tf.ragged.range(tf.gather(of_all, parts), tf.gather(of_all, parts + 1)).flat_values


def _products(query: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Returns the dot products `[n]` of a query `[d]` with rows `[n, d]`."""
    return tf.matmul(query[None], rows, transpose_b=True)[0]


def _keys(scores: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Returns int64 numbers in the order of scores, and for equal scores, in the opposite order of rows.

    The bits of a float32 number, read as int32, have the order of the numbers if they are positive, and the opposite
    order if they are negative.
    """
    bits = tf.bitcast(tf.where(tf.equal(scores, 0.0), 0.0, scores), tf.int32)  # -0.0 equals 0.0
    flipped = tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, 31), tf.int32.max)
    return tf.cast(tf.bitwise.bitwise_xor(bits, flipped), tf.int64) * 2**32 - tf.cast(rows, tf.int64)
