"""Out-of-vocabulary ids: each is hashed to several bucket rows, so that few ids share all of their rows.

With H hashes and B bucket rows, the vector of an unknown id is the mean of H rows, and its bias is the mean of their
biases (Svenstrup, Hansen & Winther 2017, "Hash embeddings for efficient word representations", with equal importances,
and Serra & Karatzoglou 2017, "Getting deep recommenders fit: Bloom embeddings for sparse binary input/output
networks").

Two ids have the same vector if their hashes select the same rows in any order. The probability is at most H!/B^H
instead of 1/B. With a million unknown ids and B = 100,000, an id shares its vector with 10 others for H = 1. For H = 2,
one id in 5,000 shares its vector. Different vectors are not always independent, because B rows span at most B
dimensions. As long as there are fewer than about B/2 unknown ids for H = 2, or 0.9 B for H = 3, nearly all can have one
row of their own (cuckoo hashing: Pagh & Rodler 2004 and Fotakis et al. 2005). It is enough if this
holds for the ids with most of the pairs. With H = 1, two in five of B/2 ids share their row.

The model uses the mean instead of the sum. Optimizers that normalize the gradient of a row (Adagrad, Adam) then move
the vector of an unknown id as far as that of a known one. The mean of H independent rows has 1/H of their variance.
Bucket rows are therefore initialized longer by the square root of H.

Training identifies an id by its number. The number of a known id is its row. Unknown ids are numbered in the order in
which their hashes first occur. Counting, sampling and comparing entities use numbers. Only the look-up uses hashes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from trainer import features

Encoder = Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]

# Keys of the second and later hashes. The first is the hash of TensorFlow's vocabulary tables. Published models depend
# on these values.
_KEY = 0x6B696E64726564


def hash_buckets(ids: tf.Tensor, buckets: int, hashes: int) -> tf.Tensor:
    """Returns the buckets of ids by independent hashes.

    The first is Fingerprint64, as in `tf.lookup.StaticVocabularyTable`. The others are SipHash with different keys.
    TensorFlow Serving has kernels for both, and the results are the same on every machine.

    Args:
      ids: string `[...]`.
      buckets: the number of buckets.
      hashes: the number of hashes.

    Returns:
      int64 `[..., hashes]`, each in `[0, buckets)`.
    """
    first = tf.strings.to_hash_bucket_fast(ids, buckets)
    others = [tf.strings.to_hash_bucket_strong(ids, buckets, key=[_KEY, number]) for number in range(1, hashes)]
    return tf.stack([first, *others], axis=-1)


class Numbering:
    """Numbers the ids of a table: known ids by their row, unknown ids in the order in which their rows first occur.

    Unknown ids with equal hashes have the same number, because the model cannot distinguish them.

    Args:
      known: the number of ids in the vocabulary.
      hashes: the number of rows of each unknown id.
    """

    def __init__(self, known: int, hashes: int) -> None:
        self.known, self.hashes = known, hashes
        self._numbers: dict[bytes, int] = {}

    def __len__(self) -> int:
        """Returns how many numbers there are."""
        return self.known + len(self._numbers)

    @property
    def rows(self) -> np.ndarray:
        """The rows of each unknown id in the order of their numbers, int32 `[unknown, hashes]`."""
        return np.frombuffer(b"".join(self._numbers), np.int32).reshape(-1, self.hashes)

    def number(self, rows: np.ndarray) -> np.ndarray:
        """Converts rows to numbers.

        Args:
          rows: int `[n, hashes]` from the transform graph.

        Returns:
          int32 `[n]`.
        """
        numbers = rows[:, 0].astype(np.int32)
        (unknown,) = np.nonzero(numbers >= self.known)
        if len(unknown):
            keys = np.ascontiguousarray(rows[unknown], np.int32).view(f"V{4 * self.hashes}")[:, 0]
            taken = self._numbers
            numbers[unknown] = [taken.setdefault(key, self.known + len(taken)) for key in keys.tolist()]
        return numbers

    def touched(self, seen: np.ndarray, rows: int) -> np.ndarray:
        """Returns which rows of a table some ids read.

        Args:
          seen: bool `[len]`, the ids by number.
          rows: the number of rows of the table.

        Returns:
          bool `[rows]`.
        """
        touched = np.zeros(rows, bool)
        touched[: self.known] = seen[: self.known]
        touched[self.rows[seen[self.known :]]] = True
        return touched


def numbered(encode: Encoder, numberings: tuple[Numbering, Numbering] | None) -> Encoder:
    """Wraps `encode`, so that `left` and `right` are numbers `[n, 1]` instead of rows `[n, hashes]`.

    Args:
      encode: the layer of the transform graph.
      numberings: of the left and the right ids. None for one hash, where rows and numbers are equal.
    """
    if numberings is None:
        return encode

    def numbers(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        encoded = encode(raw)
        return encoded | {
            name: tf.constant(numbering.number(encoded[name].numpy())[:, None])
            for name, numbering in zip((features.LEFT, features.RIGHT), numberings, strict=True)
            if name in encoded
        }

    return numbers
