"""Ids outside the vocabulary: each hashed to several of a few rows that they share, so that few ids share them all.

With H hashes and B bucket rows, the vector of an unknown id is the mean of H rows, its bias the mean of their biases
(Svenstrup, Hansen & Winther 2017, "Hash embeddings for efficient word representations", with equal importances; Serra
& Karatzoglou 2017, "Getting deep recommenders fit: Bloom embeddings for sparse binary input/output networks").

Two ids have the same vector if their hashes hit the same rows in any order: a chance of at most H!/B^H, in place of
1/B. Of a million unknown ids and B = 100,000, an id shares its vector with 10 others where H = 1; where H = 2, one in
5,000 shares it with another. Vectors that differ need not be free: B rows hold B independent vectors at most. But while
unknown ids, or those of them that have most of the pairs, are fewer than about B/2 for H = 2 and 0.9 B for H = 3,
nearly all can be given a row of their own among theirs (cuckoo hashing: Pagh & Rodler 2004; Fotakis et al. 2005), and
are free; with H = 1 two in five of B/2 ids share one.

The mean, not the sum: an optimizer that divides a row's gradient by its own size (Adagrad, Adam) then moves the vector
of an unknown id as far in a step as that of a known one. The mean of H independent rows has 1/H of their variance, so
bucket rows start longer than others by the root of H, and the vectors of all ids start alike.

Training knows an id by its number: a known one by its row, an unknown one by the order in which its hashes were first
seen. All that counts, draws and compares entities works on numbers; only the look-up knows of hashes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from trainer import features

Encoder = Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]

# Of the hashes after the first, which is that of TensorFlow's vocabulary tables; published models depend on it.
_KEY = 0x6B696E64726564


def hash_buckets(ids: tf.Tensor, buckets: int, hashes: int) -> tf.Tensor:
    """The buckets of `ids` string `[...]` by independent hashes: int64 `[..., hashes]`, each in `[0, buckets)`.

    The first is Fingerprint64, as in `tf.lookup.StaticVocabularyTable`; the others are SipHash with a key each. Both
    are kernels of stock TensorFlow Serving, and the same on every machine.
    """
    first = tf.strings.to_hash_bucket_fast(ids, buckets)
    others = [tf.strings.to_hash_bucket_strong(ids, buckets, key=[_KEY, number]) for number in range(1, hashes)]
    return tf.stack([first, *others], axis=-1)


class Numbering:
    """Numbers the ids of a table: `known` ids by their row, others from there on, as their rows are first seen.

    Two unknown ids of which all hashes agree are one id to the model, and have one number.
    """

    def __init__(self, known: int, hashes: int) -> None:
        self.known, self.hashes = known, hashes
        self._numbers: dict[bytes, int] = {}

    def __len__(self) -> int:
        """How many numbers there are."""
        return self.known + len(self._numbers)

    @property
    def rows(self) -> np.ndarray:
        """The rows of each unknown id, in the order of their numbers; int32 `[unknown, hashes]`."""
        return np.frombuffer(b"".join(self._numbers), np.int32).reshape(-1, self.hashes)

    def number(self, rows: np.ndarray) -> np.ndarray:
        """Rows int `[n, hashes]`, as the transform graph gives them, to numbers int32 `[n]`."""
        numbers = rows[:, 0].astype(np.int32)
        (unknown,) = np.nonzero(numbers >= self.known)
        if len(unknown):
            keys = np.ascontiguousarray(rows[unknown], np.int32).view(f"V{4 * self.hashes}")[:, 0]
            taken = self._numbers
            numbers[unknown] = [taken.setdefault(key, self.known + len(taken)) for key in keys.tolist()]
        return numbers

    def touched(self, seen: np.ndarray, rows: int) -> np.ndarray:
        """Which of a table's `rows` rows the ids `seen` (bool `[len]`, by number) read; bool `[rows]`."""
        touched = np.zeros(rows, bool)
        touched[: self.known] = seen[: self.known]
        touched[self.rows[seen[self.known :]]] = True
        return touched


def numbered(encode: Encoder, numberings: tuple[Numbering, Numbering] | None) -> Encoder:
    """`encode` with `left`, `right` `[n, 1]` as numbers in place of rows `[n, hashes]`; None: one hash, they agree."""
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
