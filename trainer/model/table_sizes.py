"""How many rows the embedding tables have, and how many entities read them."""

from __future__ import annotations

import dataclasses

import numpy as np

from trainer import features
from trainer.data.hashing import Numbering
from trainer.data.transform_graph import TransformGraph
from trainer.settings import EncodeSettings


@dataclasses.dataclass(frozen=True)
class TableSizes:
    """Rows of each embedding table: vocabulary plus out-of-vocabulary buckets, as the transform graph counts them.

    With several hashes, `numberings` of the left and the right ids (the same one where the sides share a table);
    without, an id's number is its row.
    """

    left: int
    right: int
    shared: bool = False
    numberings: tuple[Numbering, Numbering] | None = None

    @property
    def entities(self) -> tuple[int, int]:
        """How many numbers left and right ids have."""
        return (len(self.numberings[0]), len(self.numberings[1])) if self.numberings else (self.left, self.right)

    @property
    def hashes(self) -> int:
        """How many rows the vector of an unknown id is the mean of."""
        return self.numberings[0].hashes if self.numberings else 1

    def touched(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which rows of each table the ids `left`, `right` (bool, by number) read; bool `[rows]`."""
        if not self.numberings:
            return left, right
        of_left, of_right = self.numberings
        return of_left.touched(left, self.left), of_right.touched(right, self.right)


def table_sizes(transform: TransformGraph, encode: EncodeSettings) -> TableSizes:
    """Rows of each table: one for every vocabulary entry, then the out-of-vocabulary buckets."""
    left, right = (transform.vocabulary_size_by_name(name) for name in features.vocabulary_names(encode.shared))
    buckets, hashes = encode.oov_buckets, encode.oov_hashes
    numberings = None
    if hashes > 1:
        of_left = Numbering(left, hashes)
        numberings = (of_left, of_left if encode.shared else Numbering(right, hashes))
    return TableSizes(left + buckets, right + buckets, encode.shared, numberings)
