"""Scores the pairs of a file with a published model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from serving.local_model import LocalModel

_PAIRS = 1 << 16
_FIGURES = ("score", "strength", "value")
_FLAGS = ("left_known", "right_known")


def schema_of(is_text: bool) -> pa.Schema:
    """Returns the columns of scored pairs. Ids are strings if `is_text`, otherwise binary."""
    kind = pa.string() if is_text else pa.binary()
    figures = [(name, pa.float32()) for name in _FIGURES]
    return pa.schema([("left_id", kind), ("right_id", kind), *figures, *((name, pa.bool_()) for name in _FLAGS)])


def score(model: LocalModel, pairs: Iterable[tuple[pa.Array, pa.Array]]) -> Iterator[pa.Table]:
    """Yields a table with the columns of `schema_of` for some pairs at a time, in their order. Ids are binary."""
    for left, right in pairs:
        for start in range(0, len(left), _PAIRS):
            some = [ids.slice(start, _PAIRS) for ids in (left, right)]
            found = model.score_pairs(*(ids.to_numpy(zero_copy_only=False) for ids in some))
            figures = [pa.array(np.asarray(found[name])) for name in (*_FIGURES, *_FLAGS)]
            yield pa.Table.from_arrays([*some, *figures], schema=schema_of(is_text=False))


def as_text(table: pa.Table) -> pa.Table:
    """Returns the table with ids as strings.

    Raises:
      pa.ArrowInvalid: an id is not UTF-8.
    """
    return table.cast(schema_of(is_text=True))
