"""Rows of ids in the tables of a published model, against a dictionary."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from trainer.export.tables import Side

VOCABULARY = [b"%d" % number for number in range(40)]
IDS = st.lists(st.one_of(st.sampled_from(VOCABULARY), st.binary(max_size=2)), max_size=30)


@given(IDS)
def test_few_and_many_ids_have_their_rows(ids: list[bytes]) -> None:
    """Few ids are found in another way than many."""
    side = Side(pa.array(VOCABULARY, pa.large_binary()), np.zeros((41, 2), np.float32), np.zeros(41, np.float32))
    place = {name: row for row, name in enumerate(VOCABULARY)}
    found = side.rows_of(pa.array(ids, pa.binary()))
    assert found.dtype == np.int64
    assert found.tolist() == [place.get(name, -1) for name in ids]
