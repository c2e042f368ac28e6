"""Distances between two sets of pairs."""

from __future__ import annotations

import bisect
import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.data_gate import chance

_BINS = 20
# Rows of the smaller sample for each bin, at least. The distribution by chance of fewer is not known well enough.
_ROWS_OF_BIN = 5


@dataclasses.dataclass(frozen=True)
class Measured:
    """A distance, and how large it is by chance at most if both sets are from one distribution."""

    value: float
    chance: float


def unseen_share(current: pa.Table, reference: pa.Table) -> Measured:
    """Returns the share of pairs, in `[0, 1]`, whose entity does not occur in `reference`.

    Args:
      current: counts of entities, columns `id` (binary) and `count` (int64).
      reference: counts of the reference, with the same columns.
    """
    total = pc.sum(current["count"]).as_py() or 0
    seen = current.filter(pc.is_in(current["id"], value_set=reference["id"]))
    if not total or not reference.num_rows:
        return Measured(1.0 if total else 0.0, 1.0)
    share = 1 - (pc.sum(seen["count"]).as_py() or 0) / total
    return Measured(share, chance.unseen_share(total, reference["count"].to_numpy()))


def entity_distance(current: pa.Table, reference: pa.Table, least: float = 0.0) -> Measured:
    """Returns the L-infinity distance of two entity distributions: the largest difference of a share, in `[0, 1]`.

    Among several entities it is the difference that exceeds its own `chance` the most.

    Args:
      current: counts of entities, columns `id` (binary) and `count` (int64).
      reference: counts of the reference, with the same columns.
      least: the bound of the rule. See `chance.entity_distance`.
    """
    ids = pa.chunked_array([*current["id"].chunks, *reference["id"].chunks], current.schema.field("id").type)
    if not len(ids):
        return Measured(0.0, 1.0)
    codes = ids.combine_chunks().dictionary_encode().indices.to_numpy()
    counts = [table["count"].to_numpy() for table in (current, reference)]
    rows, others = (max(int(count.sum()), 1) for count in counts)
    distance = np.abs(np.bincount(codes, np.concatenate([counts[0] / rows, -counts[1] / others])))
    share = np.bincount(codes, np.concatenate(counts)) / (rows + others)
    by_chance = chance.entity_distance(share, rows, others, least)
    worst = int((distance - np.maximum(by_chance, least)).argmax())
    return Measured(float(distance[worst]), float(by_chance[worst]))


def score_divergence(current: np.ndarray, reference: np.ndarray) -> Measured:
    """Returns the Jensen-Shannon divergence (base 2, in `[0, 1]`) of two samples of scores (Lin 1991, equation 5.1).

    Bins hold equal shares of the even mixture of both samples, so that no sample falls into a single bin. Small samples
    have fewer bins.

    Args:
      current: sorted scores, `[n]`.
      reference: sorted scores of the reference, `[m]`.
    """
    if not len(current) or not len(reference):
        return Measured(0.0, 1.0)
    edges = _mixture_quantiles(current, reference)
    p, q = _binned(current, edges), _binned(reference, edges)
    middle = (p + q) / 2
    value = float((_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2)
    return Measured(value, chance.score_divergence(len(current), len(reference), len(edges) + 1))


def _mixture_quantiles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns the distinct inner quantiles of the mixture in which `a` and `b` have the same weight.

    A quantile is the least value below or at which the mixture has the share of its level. Both samples are sorted, so
    a binary search finds it.
    """

    def share(value: np.ndarray) -> float:
        # A share that is less than its level only by rounding has reached it.
        return sum(0.5 / len(sample) * int(sample.searchsorted(value, "right")) for sample in (a, b)) + 1e-12

    def least(sample: np.ndarray, level: float) -> list[np.ndarray]:
        at = bisect.bisect_left(range(len(sample)), level, key=lambda place: share(sample[place]))
        return [sample[at]] if at < len(sample) else []

    bins = int(np.clip(min(len(a), len(b)) // _ROWS_OF_BIN, 2, _BINS))
    return np.unique([min(least(a, level) + least(b, level)) for level in np.arange(1, bins) / bins])


def _binned(sample: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Returns the share of a sorted `sample` in each bin. A bin includes its lower edge."""
    return np.diff([0, *sample.searchsorted(edges), len(sample)]) / len(sample)


def _relative_entropy(p: np.ndarray, q: np.ndarray) -> float:
    held = p > 0
    return float(np.sum(p[held] * np.log2(p[held] / q[held])))
