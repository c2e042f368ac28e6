"""The number of rows of the embedding tables, and the number of entities that read them."""

from __future__ import annotations

import dataclasses

import numpy as np

from trainer import features
from trainer.data.hashing import Numbering
from trainer.data.transform_graph import TransformGraph
from trainer.settings import EncodeSettings


@dataclasses.dataclass(frozen=True)
class TableSizes:
    """The number of rows of each embedding table: the vocabulary and the out-of-vocabulary buckets.

    Attributes:
      left: rows of the left table.
      right: rows of the right table.
      shared: whether both sides use one table.
      numberings: of the left and the right ids if there are several hashes, otherwise None. A shared table has the same
        numbering twice. Without numberings, the number of an id is its row.
    """

    left: int
    right: int
    shared: bool = False
    numberings: tuple[Numbering, Numbering] | None = None

    @property
    def entities(self) -> tuple[int, int]:
        """The count of numbers of left and of right ids."""
        return (len(self.numberings[0]), len(self.numberings[1])) if self.numberings else (self.left, self.right)

    @property
    def hashes(self) -> int:
        """The number of rows of each unknown id."""
        return self.numberings[0].hashes if self.numberings else 1

    def touched(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns which rows of each table some ids read.

        Args:
          left: bool `[entities]`, the left ids by number.
          right: bool `[entities]`, the right ids by number.

        Returns:
          bool `[rows]` for each table.
        """
        if not self.numberings:
            return left, right
        of_left, of_right = self.numberings
        return of_left.touched(left, self.left), of_right.touched(right, self.right)


def table_sizes(transform: TransformGraph, encode: EncodeSettings) -> TableSizes:
    """Returns the table sizes: one row for every vocabulary entry, then the out-of-vocabulary buckets.

    Args:
      transform: the transform graph with the vocabularies.
      encode: section `encode` of the pipeline file.
    """
    left, right = (transform.vocabulary_size_by_name(name) for name in features.vocabulary_names(encode.shared))
    buckets, hashes = encode.oov_buckets, encode.oov_hashes
    numberings = None
    if hashes > 1:
        of_left = Numbering(left, hashes)
        numberings = (of_left, of_left if encode.shared else Numbering(right, hashes))
    return TableSizes(left + buckets, right + buckets, encode.shared, numberings)
