"""Distances between two sets of pairs."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_BINS = 20


def unseen_share(current: pa.Table, reference: pa.Table) -> float:
    """Returns the share of pairs, in `[0, 1]`, whose entity does not occur in `reference`.

    Args:
      current: counts of entities, columns `id` (binary) and `count` (int64).
      reference: counts of the reference, with the same columns.
    """
    total = pc.sum(current["count"]).as_py() or 0
    seen = current.filter(pc.is_in(current["id"], value_set=reference["id"]))
    return 1 - (pc.sum(seen["count"]).as_py() or 0) / total if total else 0.0


def entity_distance(current: pa.Table, reference: pa.Table) -> float:
    """Returns the L-infinity distance of two entity distributions: the largest difference of a share, in `[0, 1]`.

    Args:
      current: counts of entities, columns `id` (binary) and `count` (int64).
      reference: counts of the reference, with the same columns.
    """
    ids = pa.chunked_array([*current["id"].chunks, *reference["id"].chunks], current.schema.field("id").type)
    if not len(ids):
        return 0.0
    codes = ids.combine_chunks().dictionary_encode().indices.to_numpy()
    shares = np.concatenate([_shares(current), -_shares(reference)])
    return float(np.abs(np.bincount(codes, shares)).max())


def score_divergence(current: np.ndarray, reference: np.ndarray) -> float:
    """Returns the Jensen-Shannon divergence (base 2, in `[0, 1]`) of two samples of scores (Lin 1991, equation 5.1).

    Bins hold equal shares of the even mixture of both samples, so that no sample falls into a single bin.

    Args:
      current: sorted scores, `[n]`.
      reference: sorted scores of the reference, `[m]`.
    """
    if not len(current) or not len(reference):
        return 0.0
    edges = _mixture_quantiles(current, reference)
    p, q = _binned(current, edges), _binned(reference, edges)
    middle = (p + q) / 2
    return float((_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2)


def _mixture_quantiles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns the distinct inner quantiles of the mixture in which `a` and `b` have the same weight."""
    values = np.concatenate([a, b]).astype(np.float64)
    weights = np.repeat([0.5 / len(a), 0.5 / len(b)], [len(a), len(b)])
    # Sorting by runs takes linear time, because both samples are sorted.
    order = np.argsort(values, kind="stable")
    levels = np.arange(1, _BINS) / _BINS
    found = np.searchsorted(np.cumsum(weights[order]), levels).clip(max=len(values) - 1)
    return np.unique(values[order][found])


def _binned(sample: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Returns the share of `sample` in each bin. A bin includes its lower edge."""
    counts = np.bincount(np.searchsorted(edges, sample.astype(np.float64), "right"), minlength=len(edges) + 1)
    return counts / len(sample)


def _relative_entropy(p: np.ndarray, q: np.ndarray) -> float:
    held = p > 0
    return float(np.sum(p[held] * np.log2(p[held] / q[held])))


def _shares(counts: pa.Table) -> np.ndarray:
    count = counts["count"].to_numpy()
    return np.asarray(count / max(count.sum(), 1))
