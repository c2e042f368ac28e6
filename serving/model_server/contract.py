"""The inputs of Kindred's signatures. The server knows what they cost, and that each row is computed on its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from serving.model_server.tensors import Array

K = "k"  # the number of answers of a ranking, a scalar
QUERIES = ("left_id", "right_id")  # ids, one per row
GIVEN = "given_id"  # ids that describe unseen entities, a list per row
_GIVEN = "given_id"
_FILTERS = ("exclude", "candidates")  # ids of the answers
_OTHERS = ("probes", _GIVEN, "given_score")  # of approximate rankings, and of entities that the model has not seen
_INPUTS = frozenset((*QUERIES, K, *_FILTERS, *_OTHERS))


def is_of_contract(inputs: Iterable[str]) -> bool:
    """Whether a signature has ids and no unknown input, so that its work is bounded by its rows and its catalogue."""
    names = frozenset(inputs)
    return names <= _INPUTS and bool(names & {*QUERIES, _GIVEN})


def number_of_answers(inputs: Mapping[str, Array]) -> int | None:
    """Returns the input `k`, or None if the request has no such scalar."""
    k = inputs.get(K)
    return int(k) if k is not None and k.ndim == 0 and k.dtype.kind in "iu" else None


def independent_rows(inputs: Mapping[str, Array]) -> list[str]:
    """Returns the name of the only query whose rows are answered on their own, so in pieces, or an empty list."""
    if GIVEN in inputs:
        return [GIVEN] if inputs[GIVEN].ndim == 2 else []
    queries = [name for name in QUERIES if name in inputs]
    return queries if K in inputs and len(queries) == 1 and inputs[queries[0]].ndim == 1 else []


def rows_of(inputs: Mapping[str, Array]) -> int | None:
    """Returns the number of rows of a request that has ids and at most `k` besides. None for any other request."""
    ids = [array for alias, array in inputs.items() if alias in QUERIES]
    others = inputs.keys() - {*QUERIES, K}
    if not ids or others or any(array.ndim != 1 or array.dtype != np.object_ for array in ids):
        return None
    if K in inputs and number_of_answers(inputs) is None:
        return None
    sizes = {len(array) for array in ids}
    return sizes.pop() if len(sizes) == 1 else None
