"""All pairs of both splits with their ids as numbers, so that evaluation counts and compares whole columns."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa

from components.example_reader import read_batches, split_files
from trainer import features


@dataclasses.dataclass(frozen=True)
class Columns:
    """Pairs of one split; `left` and `right` are places in the ids of their side."""

    left: np.ndarray  # int32 [n]
    right: np.ndarray  # int32 [n]
    score: np.ndarray | None  # float32 [n]; None: every pair is a positive

    def __len__(self) -> int:
        return len(self.left)

    def take(self, rows: np.ndarray | slice) -> Columns:
        """The given rows, or those of a mask."""
        return Columns(self.left[rows], self.right[rows], None if self.score is None else self.score[rows])


@dataclasses.dataclass(frozen=True)
class CodedPairs:
    """Both splits, and the distinct ids of either side that occur in any of them."""

    left_ids: pa.Array  # binary [l]
    right_ids: pa.Array  # binary [r]
    train: Columns
    eval: Columns

    def counts(self, side: str) -> np.ndarray:
        """How many training pairs each id of a side has; int64."""
        ids, codes = (self.left_ids, self.train.left) if side == "left" else (self.right_ids, self.train.right)
        return np.bincount(codes, minlength=len(ids))


def read(examples_uri: str) -> CodedPairs:
    """Reads the train and eval splits of an examples artifact."""
    ids: dict[str, list[pa.Array]] = {features.LEFT_ID: [], features.RIGHT_ID: []}
    scores: list[np.ndarray] = []
    sizes = []
    for split in ("train", "eval"):
        before = sum(map(len, ids[features.LEFT_ID]))
        for batch in (batch for file in split_files(examples_uri, split) for batch in read_batches(file)):
            for name, held in ids.items():
                held.append(batch.column(name).dictionary_encode())
            if features.SCORE in batch.schema.names:
                # A copy: what is a view keeps the decoder's whole batch in memory, its ids too.
                scores.append(np.array(batch.column(features.SCORE).to_numpy(zero_copy_only=False)))
        sizes.append(sum(map(len, ids[features.LEFT_ID])) - before)
    left_ids, left = _unified(ids[features.LEFT_ID])
    right_ids, right = _unified(ids[features.RIGHT_ID])
    score = np.concatenate(scores) if scores else None
    whole = Columns(left, right, score)
    return CodedPairs(left_ids, right_ids, whole.take(slice(sizes[0])), whole.take(slice(sizes[0], None)))


def _unified(chunks: list[pa.Array]) -> tuple[pa.Array, np.ndarray]:
    """The distinct values of dictionary-encoded chunks, and the number of each value."""
    if not chunks:
        return pa.array([], pa.binary()), np.zeros(0, np.int32)
    unified = pa.chunked_array(chunks).unify_dictionaries()
    codes = np.concatenate([chunk.indices.to_numpy(zero_copy_only=False) for chunk in unified.chunks])
    return unified.chunk(0).dictionary, codes.astype(np.int32)
