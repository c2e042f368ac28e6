"""The index of the candidates of one side, and rankings that read some of its blocks, in stock TensorFlow ops."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from trainer.export.sides import SideVariables
from trainer.index.blocks import Blocks, partition
from trainer.index.calibration import Probes, calibrate
from trainer.index.centers import Candidates, Centers


class Space(tf.Module):
    """One way to rank the candidates of a side: by score or by cosine.

    Args:
      side: the candidates.
      blocks: of the candidates.
      is_cosine: whether they are ranked by cosine.
    """

    def __init__(self, side: SideVariables, blocks: Blocks, is_cosine: bool) -> None:
        super().__init__(name="cosines" if is_cosine else "scores")
        self._side = side
        self.is_cosine = is_cosine
        candidates = self._candidates()
        centers = Centers.of(blocks, candidates)
        self.means = tf.Variable(centers.means, trainable=False, name="means")
        self.bias = tf.Variable(centers.bias, trainable=False, name="bias")
        self.spread = tf.Variable(centers.spread, trainable=False, name="spread")
        # In the order of blocks, because gathering single numbers from all over the table takes as long as the vectors.
        of_rows = candidates.scale if is_cosine else candidates.bias
        self.of_rows = (
            None
            if of_rows is None or not of_rows.any()
            else tf.Variable(of_rows[blocks.order], trainable=False, name="of_rows")
        )

    def calibrate(self, blocks: Blocks, queries: np.ndarray, own: np.ndarray | None) -> Probes:
        """Finds the number of blocks to read. For the arguments, see `trainer.index.calibration`."""
        centers = Centers(*(variable.numpy() for variable in self.centers))
        return calibrate(self._candidates(), blocks, centers, queries, own)

    @property
    def centers(self) -> tuple[tf.Variable, tf.Variable, tf.Variable]:
        """The fields of `trainer.index.centers.Centers`."""
        return self.means, self.bias, self.spread

    def _candidates(self) -> Candidates:
        side = self._side
        vectors, bias, inverse = (v.numpy()[: side.count] for v in (side.vectors, side.bias, side.inverse_lengths))
        return Candidates(vectors, scale=inverse) if self.is_cosine else Candidates(vectors, bias=bias)

    def promising(self, queries: tf.Tensor, probes: tf.Tensor) -> tf.Tensor:
        """Returns the `probes` most promising blocks of each query `[n, d]`, in no order, int32 `[n, probes]`."""
        estimates = tf.matmul(queries, self.means.read_value(), transpose_b=True) + self.bias.read_value()
        estimates += tf.norm(queries, axis=1, keepdims=True) * self.spread.read_value()
        return tf.math.top_k(estimates, k=probes, sorted=False).indices

    def scores(self, query: tf.Tensor, rows: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """Returns the scores of some candidates with a query, without what all of them share.

        Args:
          query: float32 `[d]`, of length 1 for a cosine.
          rows: of the candidates, int32 `[rows]`.
          places: of these rows in the order of blocks, int32 `[rows]`.
        """
        products = tf.matmul(query[None], tf.gather(self._side.vectors.read_value(), rows), transpose_b=True)[0]
        if self.of_rows is None:
            return products
        of_rows = tf.gather(self.of_rows.read_value(), places)
        return products * of_rows if self.is_cosine else products + of_rows


class SideIndex(tf.Module):
    """The blocks of the candidates of one side.

    The table of vectors keeps the order of the vocabulary. The index has the numbers of rows in the order of blocks, so
    no vector is stored twice.

    Args:
      side: the candidates.
    """

    def __init__(self, side: SideVariables) -> None:
        super().__init__(name=f"{side.side}_index")
        self.side = side
        self.blocks = partition(*(variable.numpy()[: side.count] for variable in (side.vectors, side.bias)))
        self.by_score, self.by_cosine = (Space(side, self.blocks, is_cosine) for is_cosine in (False, True))
        self.order = tf.Variable(self.blocks.order, trainable=False, name="order")
        self.starts = tf.Variable(self.blocks.starts, trainable=False, name="starts")
        # How many rows any so many blocks have at least.
        least = np.cumsum(np.sort(self.blocks.sizes), dtype=np.int32)
        self.at_least = tf.Variable(least, trainable=False, name="at_least")

    def blocks_with(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns how many blocks have at least `rows` rows, whichever they are, int32 []."""
        return tf.searchsorted(self.at_least.read_value(), rows[None])[0] + 1

    def nearest(
        self, space: Space, queries: tf.Tensor, own: tf.Tensor, k: tf.Tensor, probes: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Ranks the rows in the most promising blocks.

        For equal scores, the lower row comes first, as in exact rankings. One query is ranked at a time, so the memory
        for gathered rows does not depend on the number of queries.

        Args:
          space: how candidates are ranked.
          queries: float32 `[n, d]`.
          own: the row of each query that is no answer, int64 `[n]`, or -1.
          k: number of answers. The blocks have more rows.
          probes: number of blocks.

        Returns:
          Rows and scores, each `[n, k]`, best first.
        """

        def one(inputs: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
            query, excluded, blocks = inputs
            starts = self.starts.read_value()
            places = tf.ragged.range(tf.gather(starts, blocks), tf.gather(starts, blocks + 1)).flat_values
            rows = tf.gather(self.order.read_value(), places)
            scores = space.scores(query, rows, places)
            keys = tf.where(tf.equal(tf.cast(rows, tf.int64), excluded), tf.int64.min, _keys(scores, rows))
            best = tf.math.top_k(keys, k=k).indices
            return tf.gather(rows, best), tf.gather(scores, best)

        inputs = queries, own, space.promising(queries, probes)
        ranked: tuple[tf.Tensor, tf.Tensor] = tf.map_fn(one, inputs, fn_output_signature=(tf.int32, tf.float32))
        return ranked


def _keys(scores: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Returns int64 numbers in the order of scores, and for equal scores, in the opposite order of rows.

    The bits of a float32 number, read as int32, have the order of the numbers if they are positive, and the opposite
    order if they are negative.
    """
    bits = tf.bitcast(tf.where(tf.equal(scores, 0.0), 0.0, scores), tf.int32)  # -0.0 equals 0.0
    flipped = tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, 31), tf.int32.max)
    return tf.cast(tf.bitwise.bitwise_xor(bits, flipped), tf.int64) * 2**32 - tf.cast(rows, tf.int64)
